"""A run of the demonstration on a terminal: progress, then a table that changes once a second."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from cenote.audit import AuditEvent
from cenote.demo.commands import curl_lines
from cenote.demo.meter import Summary, Tick, WorkerTick
from cenote.demo.screen import (
    Receipt,
    Reloads,
    Screen,
    WorkerNews,
    describe,
    duration,
    machine_lines,
    percent,
    summary_lines,
)

__all__ = ["LiveScreen"]

_HISTORY = 40
_SHORT_HISTORY = 12
_GOOD, _FAIR = 90, 60


class LiveScreen(Screen):
    """A terminal of at least 80 columns and 24 rows.

    Args:
        url: Where the server listens.
        token: Whether requests need a token.
        console: The terminal.
        machines: Where each machine's server listens, if workers stand for machines.
        store: The server that the machines share.
    """

    def __init__(
        self, url: str, *, token: bool, console: Console, machines: Sequence[str] = (), store: str = ""
    ) -> None:
        super().__init__(url, token=token, machines=machines, store=store)
        self._console = console
        self._seconds = _SHORT_HISTORY if machines else _HISTORY
        self._span = f"last {self._seconds} s" if machines else f"last {self._seconds} seconds"
        self._bars = " ▁▂▃▄▅▆▇█" if console.encoding.startswith("utf") else " _.-:=+*#"
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._live: Live | None = None
        self._history: dict[str, deque[float | None]] = {}
        self._events: deque[str] = deque(maxlen=3 if machines else 2)
        self._last: Tick | None = None

    def opening(self, modules: int, version: str) -> None:
        self._console.print(Text.assemble(("Cenote demo", "bold"), "  ", (self.url, "cyan")), soft_wrap=True)
        self._console.print(Text(f"Three services at work on {modules} modules of the library of Python {version}"))
        for line in machine_lines(self.machines, self.store):
            self._console.print(Text(line), soft_wrap=True)
        self._progress = Progress(
            TextColumn("Warming up"), BarColumn(), TaskProgressColumn(), console=self._console, transient=True
        )
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def warming(self, done: int, total: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def ready(self, key: str) -> None:
        self.close()
        self._console.print(Text("\nTry these in another terminal while it runs (Ctrl-C ends it):", "bold"))
        for lines in curl_lines(self.url, key, token=self.token).values():
            for line in lines:
                self._console.print(Text(line), soft_wrap=True)
        self._console.print()
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def tick(self, tick: Tick) -> None:
        self._last = tick
        rates = {name: cache.hit_rate for name, cache in tick.caches.items()}
        rates |= {self._title(worker): worker.hit_rate for worker in tick.workers}
        for name, rate in rates.items():
            self._history.setdefault(name, deque(maxlen=self._seconds)).append(rate)
        self._draw()

    def worker(self, news: WorkerNews) -> None:
        # That one is busy shows in its line.
        if news.state != "busy":
            self._events.append(news.told(self.noun))
            self._draw()

    def cleared(self, receipt: Receipt) -> None:
        self._events.append(str(receipt))
        self._draw()

    def reloaded(self, reloads: Reloads) -> None:
        self._events.append(str(reloads))
        self._draw()

    def happened(self, event: AuditEvent) -> None:
        self._events.append(describe(event))
        self._draw()

    def ended(self, summary: Summary) -> None:
        self.close()
        self._console.print(Text("\n" + "\n".join(summary_lines(summary))))

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> None:
        tick = self._last
        if tick is None or self._live is None:
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("cache", no_wrap=True)
        table.add_column("entries", justify="right")
        table.add_column("hit rate", justify="right")
        if self.machines:
            for title in ("near hits", "fetched", "loads"):
                table.add_column(title, justify="right")
        table.add_column(self._span, no_wrap=True)
        for name, cache in sorted(tick.caches.items()):
            loads = ("", "", f"{cache.loads:,}") if self.machines else ()
            row = (Text(name), f"{cache.entries:,}", _coloured(cache.hit_rate), *loads, self._sparkline(name))
            table.add_row(*row)
        for worker in tick.workers:
            name = self._title(worker)
            shown = Text(f"{name}  pid {worker.pid}" if worker.state == "busy" else f"{name}  {worker.state}")
            figures = (f"{worker.near_hits:,}", f"{worker.fetched:,}", f"{worker.loads:,}") if self.machines else ()
            table.add_row(shown, f"{worker.entries:,}", _coloured(worker.hit_rate), *figures, self._sparkline(name))
        line = Text(
            f"{tick.second:>4} s   hit rate {percent(tick.hit_rate)}   time saved {duration(tick.saved_seconds)}"
            f"   {tick.entries:,} entries   {tick.requests:,} requests",
            "bold",
        )
        events = [Text(f"  {event}", "yellow", overflow="ellipsis", no_wrap=True) for event in self._events]
        self._live.update(Group(table, line, *events), refresh=True)

    def _sparkline(self, name: str) -> Text:
        line = Text()
        for rate in self._history[name]:
            if rate is None:
                line.append(" ")
            else:
                height = max(1, round(rate / 100 * (len(self._bars) - 1)))
                line.append(self._bars[height], _colour(rate))
        return line

    def _title(self, worker: WorkerTick) -> str:
        return f"{self.noun} {worker.worker}"


def _colour(rate: float) -> str:
    if rate >= _GOOD:
        return "green"
    return "yellow" if rate >= _FAIR else "red"


def _coloured(rate: float | None) -> Text:
    return Text(percent(rate), "" if rate is None else _colour(rate))
