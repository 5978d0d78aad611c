"""The first page: all caches, live."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, Static

from cenote.cli.failures import Failure
from cenote.cli.render import event_line
from cenote.cli.top.background import background
from cenote.cli.top.clear import ClearPage
from cenote.cli.top.desk import Desk
from cenote.cli.top.help import HelpPage
from cenote.cli.top.lines import Lines
from cenote.cli.top.members import MembersPage
from cenote.cli.top.page import Page, say
from cenote.cli.top.service import ServicePage
from cenote.cli.top.table import ServiceTable
from cenote.cli.top.target import Target
from cenote.cli.top.words import compact, counted, per_second, percent, seconds, shown, spark

__all__ = ["OverviewPage"]

_CLEARS = {"clear-begun": "clear begins", "clear-done": "cleared"}
_LONGEST_SEARCH = 64


class OverviewPage(Page):
    """All caches, a line each."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search"),
        Binding("s,right", "sort(1)", "Sort"),
        Binding("S,left", "sort(-1)", "Sort back", show=False),
        Binding("r", "reverse", "Reverse"),
        Binding("m", "members", "Members"),
        Binding("c", "clear", "Clear"),
        Binding("C", "clear_all", "Clear all"),
        Binding("escape", "forget", "Back", show=False),
        Binding("question_mark", "help", "Help"),
        Binding("q", "app.quit", "Quit"),
    ]
    CSS = """
    #heading { text-style: bold; }
    #totals { height: 2; }
    #search { display: none; }
    #search.open { display: block; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._chosen: str | None = None
        self._table = ServiceTable(desk.board, id="table")

    def body(self) -> list[Widget]:
        """Return totals, table, the last news and the search."""
        search = Input(placeholder="part of a name", max_length=_LONGEST_SEARCH, id="search", compact=True)
        return [
            Static(id="totals", markup=False),
            Static(id="heading", markup=False),
            self._table,
            Static(id="news", markup=False),
            search,
        ]

    async def look(self) -> None:
        """Ask for the rows on the screen and some around them.

        Raises:
            Failure: The server does not answer.
        """
        board = self.desk.board
        query = board.order.query(self._table.first, self._table.rows)
        answer = await self.desk.ask(lambda client: client.overview(**query))
        if query["search"] != (board.order.search or None) or query["sort"] != board.order.sort:
            return  # somebody asked for something else meanwhile
        board.take(answer)
        self._follow_chosen()
        self.draw()

    def draw(self) -> None:
        """Show what is known."""
        board = self.desk.board
        self._table.resize_to(board.matching)
        self._put("heading", self._table.heading(max(self._table.size.width, 1)))
        self._put("totals", self._totals())

    def _put(self, name: str, text: str) -> None:
        """Say something on one of the lines; an answer may come while the page is taken down, and has none any more."""
        for line in self.query(f"#{name}").results(Static):
            say(line, text)

    def news(self, kind: str, data: dict[str, Any]) -> None:
        """Take what the server streams; clears and invalidations are told on the last line."""
        if kind == "overview":
            self.desk.board.update(data)
            self.draw()
        elif kind == "reset":
            self._look_again()
        elif kind in _CLEARS:
            where = "everything" if data.get("all") else data.get("serviceName") or "the global cache"
            count = "" if data.get("entries") is None else f", {counted(data['entries'], 'entry', 'entries')}"
            failed = f" FAILED: {data.get('message')}" if data.get("state") == "failed" else ""
            when = str(data.get("endedAt") or data.get("startedAt") or "")[11:19]
            who = f" by {data['actor']}" if data.get("actor") else ""
            self._put("news", shown(f"{when} {_CLEARS[kind]}: {where}{count}{who}{failed}"))
        elif kind in {"invalidated", "switched"}:
            self._put("news", shown(event_line({"action": kind, **data})))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something: a viewer has no clear."""
        if action in {"clear", "clear_all"}:
            return self.desk.may_clear
        return super().check_action(action, parameters)

    def _totals(self) -> str:
        board = self.desk.board
        totals, head = board.totals, board.head
        if not head:
            return ""
        recent = totals.get("recent") or {}
        curve = spark((totals.get("sparkline") or {}).get("hitRate") or (), 20, 100)
        machines = head.get("members") or ()
        found = f" match “{shown(board.order.search)}”" if board.order.search else ""
        off = "" if head.get("enabled", True) else " · CACHING IS OFF"
        where = counted(len(head.get("processes") or ()), "process", "processes")
        where += f", {counted(len(machines), 'machine', 'machines')}" if machines else ""
        return (
            f"hit rate {percent(recent.get('hitRate'))} {curve} · {per_second(recent.get('readsPerSecond'))} reads · "
            f"{per_second(recent.get('loadsPerSecond'))} loads · {compact(totals.get('currentSize'))} entries\n"
            f"{counted(board.matching, 'cache', 'caches')}{found} · saved {seconds(totals.get('savedSeconds'))} · "
            f"{shown(head.get('backend'))}, level {shown(head.get('level'))}, {where}{off}"
        )

    def _follow_chosen(self) -> None:
        """Keep the cursor on the same cache when another order moved it."""
        known, service = self._table.service_at(self._table.cursor)
        if self._table.cursor and not (known and service == self._chosen):
            place = self.desk.board.place_of(self._chosen)
            if place is not None:
                self._table.cursor = place

    def _look_again(self) -> None:
        async def look() -> None:
            # The feed says on the first line that the server is away.
            with suppress(Failure):
                await self.look()

        background(self, look, exclusive=True, group="look")

    @on(Lines.Moved)
    def _moved(self) -> None:
        known, service = self._table.service_at(self._table.cursor)
        if known:
            self._chosen = service
        if not self.desk.board.holds(self._table.first, self._table.rows):
            self._look_again()

    @on(Lines.Chosen)
    def _open(self, event: Lines.Chosen) -> None:
        known, service = self._table.service_at(event.place)
        if known:
            self.app.push_screen(ServicePage(self.desk, service))

    @on(Input.Changed, "#search")
    def _typed(self, event: Input.Changed) -> None:
        self.desk.board.order.search = event.value
        self._table.move_to(0)
        self._look_again()

    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        self.query_one("#search", Input).remove_class("open")
        self._table.focus()

    def _action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.add_class("open")
        search.focus()

    def _action_forget(self) -> None:
        search = self.query_one("#search", Input)
        search.value = ""
        search.remove_class("open")
        self._table.focus()

    def _action_sort(self, step: int) -> None:
        self.desk.board.order.turn(step)
        self._table.move_to(0)
        self.draw()
        self._look_again()

    def _action_reverse(self) -> None:
        order = self.desk.board.order
        order.descending = not order.descending
        self._table.move_to(0)
        self.draw()
        self._look_again()

    def _action_members(self) -> None:
        self.app.push_screen(MembersPage(self.desk))

    def _action_help(self) -> None:
        self.app.push_screen(HelpPage(self.desk))

    def _action_clear(self) -> None:
        known, service = self._table.service_at(self._table.cursor)
        if known:
            self.app.push_screen(ClearPage(self.desk, Target(service)))

    def _action_clear_all(self) -> None:
        self.app.push_screen(ClearPage(self.desk, Target(everything=True)))

    @on(events.Mount)
    def _begin_page(self) -> None:
        self._table.focus()
        self.draw()

    @on(events.Resize)
    def _refit(self) -> None:
        self.draw()
        self._moved()
