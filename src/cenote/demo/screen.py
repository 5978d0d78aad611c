"""What a run of the demonstration looks like: the port, and its two simple forms."""

from __future__ import annotations

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cenote.audit import AuditEvent
from cenote.demo.commands import curl_lines
from cenote.demo.meter import Summary, Tick, WorkerTick

__all__ = [
    "JsonScreen",
    "PlainScreen",
    "Receipt",
    "Reloads",
    "Screen",
    "WorkerNews",
    "describe",
    "duration",
    "machine_lines",
    "percent",
    "summary_lines",
]


@dataclass(frozen=True, slots=True)
class WorkerNews:
    """What became of a worker process.

    Attributes:
        worker: Its number, from 1.
        pid: Its process.
        state: "started", "busy" or "ended".
        reason: Why it ended, if it did.
    """

    worker: int
    pid: int
    state: str
    reason: str | None = None

    def told(self, noun: str) -> str:
        """Return it as a sentence, about a "worker" or a "machine"."""
        why = f": {self.reason}" if self.reason else ""
        return f"{noun} {self.worker} (pid {self.pid}) {'is busy' if self.state == 'busy' else self.state}{why}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of a clear that the demonstration asked for.

    Attributes:
        machine: Through which machine, from 1.
        level: How far it reached.
        acknowledged: How many members said that they serve nothing older.
        members: How many there are.
        entries: How many entries went.
        milliseconds: How long it took.
        receipt: Its identifier in the audit trail.
        error: Why it failed, if it did.
    """

    machine: int
    level: str
    acknowledged: int = 0
    members: int = 0
    entries: int = 0
    milliseconds: float = 0.0
    receipt: str = ""
    error: str | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return f"a clear through machine {self.machine} failed, level {self.level}: {self.error}"
        return (
            f"all cleared through machine {self.machine}: level {self.level}, {self.acknowledged} of {self.members} "
            f"acknowledged, {self.milliseconds:.1f} ms; {self.entries:,} entries, receipt {self.receipt}"
        )


@dataclass(frozen=True, slots=True)
class Reloads:
    """What all machines loaded behind such a clear.

    Attributes:
        seconds: Within how long.
        loads: How many values each machine loaded, the first one first.
    """

    seconds: float
    loads: Sequence[int]

    def __str__(self) -> str:
        each = ", ".join(f"machine {number} {loads:,}" for number, loads in enumerate(self.loads, 1))
        return f"loaded anew within {self.seconds:g} s: {each} values"


class Screen(ABC):
    """Shows a run; methods are called in the order in which they stand here.

    Args:
        url: Where the server listens.
        token: Whether requests need a token.
        machines: Where each machine's server listens, if workers stand for machines.
        store: The server that the machines share.
    """

    def __init__(self, url: str, *, token: bool, machines: Sequence[str] = (), store: str = "") -> None:
        self.url = url
        self.token = token
        self.machines = machines
        self.store = store
        self.noun = "machine" if machines else "worker"

    @abstractmethod
    def opening(self, modules: int, version: str) -> None:
        """The server is up; this is what the services work on."""

    @abstractmethod
    def warming(self, done: int, total: int) -> None:
        """So many steps of so many are done."""

    @abstractmethod
    def ready(self, key: str) -> None:
        """The caches are warm, traffic begins; ``key`` is an entry of ``workflow``."""

    @abstractmethod
    def tick(self, tick: Tick) -> None:
        """A second has passed."""

    @abstractmethod
    def happened(self, event: AuditEvent) -> None:
        """Somebody cleared or invalidated something."""

    def worker(self, news: WorkerNews) -> None:  # noqa: B027 - there may be one process only
        """A worker process was started, is busy, or has ended."""

    def cleared(self, receipt: Receipt) -> None:  # noqa: B027 - only a run on several machines clears by itself
        """The demonstration has cleared everything, or tried to."""

    def reloaded(self, reloads: Reloads) -> None:  # noqa: B027 - the same
        """So many values were loaded behind that."""

    @abstractmethod
    def ended(self, summary: Summary) -> None:
        """The run is over."""

    def close(self) -> None:  # noqa: B027 - not every screen has something to leave
        """Leave the terminal as it was; may be called at any time, and twice."""


class PlainScreen(Screen):
    """Lines of plain text, for pipes and files."""

    def opening(self, modules: int, version: str) -> None:
        _say(f"Cenote demo: {self.url}")
        _say(f"Three services work on {modules} modules of the library of Python {version}.")
        for line in machine_lines(self.machines, self.store):
            _say(line)

    def warming(self, done: int, total: int) -> None:
        if done * 4 // total != (done - 1) * 4 // total:
            _say(f"Warming up: {100 * done // total} %")

    def ready(self, key: str) -> None:
        _say("Try these while it runs:")
        for lines in curl_lines(self.url, key, token=self.token).values():
            for line in lines:
                _say(f"  {line}")

    def tick(self, tick: Tick) -> None:
        services = ", ".join(
            f"{name} {percent(cache.hit_rate).strip()}"
            for name, cache in sorted(tick.caches.items())
            if name != "global"
        )
        _say(
            f"{tick.second} s: hit rate {percent(tick.hit_rate).strip()} ({services}), "
            f"saved {duration(tick.saved_seconds)}, {tick.entries:,} entries"
        )
        for worker in tick.workers:
            state = "" if worker.state == "busy" else f" ({worker.state})"
            _say(f"  {self.noun} {worker.worker}: {self._figures(worker)}, pid {worker.pid or '-'}{state}")

    def _figures(self, worker: WorkerTick) -> str:
        if not self.machines:
            return f"hit rate {percent(worker.hit_rate).strip()}, {worker.entries:,} entries"
        return (
            f"{worker.near_hits:,} near hits, {worker.fetched:,} from the shared server, {worker.loads:,} loads; "
            f"{worker.entries:,} copies in memory"
        )

    def happened(self, event: AuditEvent) -> None:
        _say(f"  ** {describe(event)}")

    def worker(self, news: WorkerNews) -> None:
        _say(f"  ** {news.told(self.noun)}")

    def cleared(self, receipt: Receipt) -> None:
        _say(f"  ** {receipt}")

    def reloaded(self, reloads: Reloads) -> None:
        _say(f"  ** {reloads}")

    def ended(self, summary: Summary) -> None:
        for line in summary_lines(summary):
            _say(line)


class JsonScreen(Screen):
    """A JSON document a line, for programs."""

    def opening(self, modules: int, version: str) -> None:
        more = {"machines": list(self.machines), "store": self.store} if self.machines else {}
        self._emit("listening", url=self.url, modules=modules, python=version, **more)

    def warming(self, done: int, total: int) -> None:
        self._emit("warming", done=done, total=total)

    def ready(self, key: str) -> None:
        found = curl_lines(self.url, key, token=self.token)
        commands = {name: " ".join(line.removesuffix("\\").strip() for line in lines) for name, lines in found.items()}
        self._emit("ready", key=key, commands=commands)

    def tick(self, tick: Tick) -> None:
        self._emit("tick", **asdict(tick))

    def happened(self, event: AuditEvent) -> None:
        self._emit("audit", **asdict(event))

    def worker(self, news: WorkerNews) -> None:
        self._emit("worker", **asdict(news))

    def cleared(self, receipt: Receipt) -> None:
        self._emit("cleared", **asdict(receipt))

    def reloaded(self, reloads: Reloads) -> None:
        self._emit("reloaded", **asdict(reloads))

    def ended(self, summary: Summary) -> None:
        self._emit("summary", **asdict(summary))

    def _emit(self, event: str, **fields: Any) -> None:
        document = {"event": event} | {_camel(name): value for name, value in fields.items()}
        if "caches" in document:
            document["caches"] = {
                cache: {_camel(name): value for name, value in part.items()}
                for cache, part in document["caches"].items()
            }
        workers = document.pop("workers", ())
        if workers:
            document["workers"] = [{_camel(name): value for name, value in part.items()} for part in workers]
        _say(json.dumps(document))


def machine_lines(machines: Sequence[str], store: str) -> list[str]:
    """Return what there is to know about the machines of a run; nothing where there are none."""
    if not machines:
        return []
    each = ", ".join(f"{number} {url}" for number, url in enumerate(machines, 1))
    return [f"{len(machines)} machines share a server of their own: {store}", f"Machines: {each}"]


def summary_lines(summary: Summary) -> list[str]:
    """Return a run in two sentences."""
    work = (
        f"{summary.requests:,} requests in {summary.seconds:,.0f} s; hit rate {summary.hit_rate:.1f} %; "
        f"saved {duration(summary.saved_seconds)} of work; {summary.entries:,} entries."
    )
    return [
        work,
        f"Clears seen: {summary.clears}; entries invalidated: {summary.invalidations}.",
    ]


def describe(event: AuditEvent) -> str:
    """Return what an event of the audit trail says, in a few words."""
    where = event.service or "the global cache"
    if event.action == "invalidate":
        what = f"invalidated {event.key!r} of {where}"
    elif event.action == "clear_all":
        what = "cleared everything"
    elif event.action == "clear":
        what = f"cleared {where}"
    else:
        what = f"{event.action} {where}"
    soft = " (soft)" if event.mode == "soft" else ""
    failed = "" if event.status == "success" else f": {event.status}"
    return f"{event.timestamp[11:19]} {what}{soft}: {event.entries:,} entries{failed}"


def percent(rate: float | None) -> str:
    """Return a rate in six characters."""
    return "     -" if rate is None else f"{rate:5.1f}%"


def duration(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    if seconds < 6000:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
