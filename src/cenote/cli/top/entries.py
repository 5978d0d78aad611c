"""The page of a cache's entries, and the explanation of one of them."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from rich.style import Style
from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Static

from cenote.cli.failures import Failure
from cenote.cli.top.background import background
from cenote.cli.top.desk import Desk
from cenote.cli.top.lines import Lines
from cenote.cli.top.page import Page, say
from cenote.cli.top.portrait import explanation
from cenote.cli.top.words import fit, name_of, seconds, shown

__all__ = ["EntriesPage", "ExplainPage"]

_PAGE = 200
_TAG = "tag:"


class _EntryLines(Lines):
    """Identifiers, their age and their state."""

    def __init__(self) -> None:
        super().__init__(id="entries")
        self.entries: list[dict[str, Any]] = []

    def line(self, place: int, width: int) -> tuple[str, Style]:
        entry = self.entries[place]
        age = entry.get("age")
        right = f" {fit('-' if age is None else seconds(age), 9, right=True)} {shown(entry.get('state') or ''):<6}"
        style = Style(color="yellow") if entry.get("state") == "stale" else Style()
        return fit(shown(entry.get("key")), max(width - len(right), 1)) + right, style


class EntriesPage(Page):
    """The entries of one cache, page by page.

    Args:
        desk: The server that is looked at.
        service: The service; None: the global cache.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Prefix or tag:…"),
        Binding("x", "explain", "Explain a key"),
        Binding("r", "again", "Reload"),
    ]

    def __init__(self, desk: Desk, service: str | None) -> None:
        super().__init__(desk)
        self.service = service
        self._lines = _EntryLines()
        self._cursor: str | None = None
        self._sought = ""
        self._explaining = False

    def heading(self) -> str:
        """Return the service's name."""
        return f"Entries of {name_of(self.service)}"

    def body(self) -> list[Widget]:
        """Return the list and the line to type in."""
        return [
            self._lines,
            Static(id="said", markup=False),
            Input(id="sought", compact=True, placeholder="beginning of a key, or tag:NAME"),
        ]

    async def _load(self, *, begin: bool) -> None:
        sought = self._sought
        tag = sought.removeprefix(_TAG) if sought.startswith(_TAG) else None
        prefix = None if tag is not None else sought
        query = {"prefix": prefix or None, "tag": tag or None, "cursor": None if begin else self._cursor}
        try:
            page = await self.desk.ask(lambda client: client.entries(self.service, **query, limit=_PAGE))
        except Failure as failure:
            say(self.query_one("#said", Static), shown(failure), "red")
            return
        self._lines.entries = [*([] if begin else self._lines.entries), *page["entries"]]
        self._cursor = page.get("cursor")
        self._lines.resize_to(len(self._lines.entries))
        more = "" if self._cursor is None else ", and more below"
        say(self.query_one("#said", Static), f"{len(self._lines.entries):,} entries{more}")

    def _load_again(self) -> None:
        self._lines.move_to(0)
        background(self, partial(self._load, begin=True), exclusive=True, group="entries")

    @on(Lines.Moved)
    def _moved(self) -> None:
        # A page ahead of the screen; a request that is under way is not asked a second time.
        near = self._lines.first + 2 * self._lines.rows >= len(self._lines.entries)
        busy = any(worker.group == "entries" and worker.is_running for worker in self.workers)
        if near and self._cursor is not None and not busy:
            background(self, partial(self._load, begin=False), group="entries")

    @on(Lines.Chosen)
    def _chosen(self, event: Lines.Chosen) -> None:
        self.app.push_screen(ExplainPage(self.desk, self.service, str(self._lines.entries[event.place]["key"])))

    @on(Input.Submitted, "#sought")
    def _typed(self, event: Input.Submitted) -> None:
        if self._explaining and event.value:
            self.app.push_screen(ExplainPage(self.desk, self.service, event.value))
        elif not self._explaining:
            self._sought = event.value
            self._load_again()
        self._lines.focus()

    def _action_search(self) -> None:
        self._ask(explaining=False, hint="beginning of a key, or tag:NAME")

    def _action_explain(self) -> None:
        self._ask(explaining=True, hint="a key to explain, whether it is there or not")

    def _ask(self, *, explaining: bool, hint: str) -> None:
        self._explaining = explaining
        field = self.query_one("#sought", Input)
        field.placeholder = hint
        field.value = "" if explaining else self._sought
        field.focus()

    def _action_again(self) -> None:
        self._load_again()

    @on(events.Mount)
    def _begin_page(self) -> None:
        self._lines.focus()
        self._load_again()


class ExplainPage(Page):
    """What is known of one key.

    Args:
        desk: The server that is looked at.
        service: The service; None: the global cache.
        key: The identifier.
    """

    def __init__(self, desk: Desk, service: str | None, key: str) -> None:
        super().__init__(desk)
        self.service = service
        self.key = key

    def heading(self) -> str:
        """Return what is explained."""
        return f"One key of {name_of(self.service)}"

    def body(self) -> list[Widget]:
        """Return the explanation."""
        return [VerticalScroll(Static("…", id="explanation", markup=False))]

    async def _look(self) -> None:
        try:
            said = explanation(await self.desk.ask(lambda client: client.explain(self.key, self.service)))
        except Failure as failure:
            said = shown(failure)
        say(self.query_one("#explanation", Static), said)

    @on(events.Mount)
    def _begin_page(self) -> None:
        background(self, self._look)
