"""The page of the processes and machines that share the caches."""

from __future__ import annotations

from typing import Any

from textual import events, on
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from cenote.cli.failures import Failure
from cenote.cli.top.background import background
from cenote.cli.top.page import Page, say
from cenote.cli.top.words import compact, shown

__all__ = ["MembersPage"]

_EVERY = 2.0


class MembersPage(Page):
    """Who shares the caches."""

    def heading(self) -> str:
        """Return what the page is about."""
        return "Processes and machines"

    def body(self) -> list[Widget]:
        """Return the list."""
        return [VerticalScroll(Static("…", id="members", markup=False))]

    async def _look(self) -> None:
        try:
            overview = await self.desk.ask(lambda client: client.overview(limit=1, sparklines=False))
        except Failure:
            return  # the first line says so
        say(self.query_one("#members", Static), _told(overview))

    def _look_again(self) -> None:
        background(self, self._look, exclusive=True, group="look")

    @on(events.Mount)
    def _begin_page(self) -> None:
        if self.desk.board.head:
            say(self.query_one("#members", Static), _told(self.desk.board.head))
        self._look_again()
        self.set_interval(_EVERY, self._look_again)


def _told(overview: dict[str, Any]) -> str:
    lines = [f"{'pid':>9}  {'since (UTC)':<19}  {'entries':>8}"]
    for process in overview.get("processes") or ():
        since = shown(process.get("since", ""))[:19].replace("T", " ")
        lines.append(f"{shown(process.get('pid')):>9}  {since:<19}  {compact(process.get('entries')):>8}")
    machines = overview.get("members") or ()
    if machines:
        lines += ["", "machines", *("  " + shown(machine.get("name")) for machine in machines)]
    return "\n".join(lines)
