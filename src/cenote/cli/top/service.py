"""The page of one cache: figures, history, hottest keys and options."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from cenote.cli.failures import Failure
from cenote.cli.top.background import background
from cenote.cli.top.clear import ClearPage
from cenote.cli.top.desk import Desk
from cenote.cli.top.entries import EntriesPage
from cenote.cli.top.page import Page, say
from cenote.cli.top.portrait import portrait
from cenote.cli.top.target import Target
from cenote.cli.top.words import name_of, shown

__all__ = ["ServicePage"]

_EVERY = 2.0


class ServicePage(Page):
    """One cache.

    Args:
        desk: The server that is looked at.
        service: The service; None: the global cache.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "entries", "Entries"),
        Binding("h", "span", "10 min/24 h"),
        Binding("c", "clear", "Clear"),
    ]

    def __init__(self, desk: Desk, service: str | None) -> None:
        super().__init__(desk)
        self.service = service
        self._span = "10m"
        self._answers: tuple[dict[str, Any], dict[str, Any]] | None = None

    def heading(self) -> str:
        """Return the service's name."""
        return name_of(self.service)

    def body(self) -> list[Widget]:
        """Return the portrait."""
        return [VerticalScroll(Static("…", id="portrait", markup=False))]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tell whether a key does something: a viewer has no clear."""
        return self.desk.may_clear if action == "clear" else super().check_action(action, parameters)

    async def _look(self) -> None:
        service, span = self.service, self._span
        try:
            detail = await self.desk.ask(lambda client: client.detail(service))
            history = await self.desk.ask(lambda client: client.history(service, span))
        except Failure as failure:
            if self._answers is None:
                say(self.query_one("#portrait", Static), shown(failure))
            return
        self._answers = detail, history
        self._draw()

    def _draw(self) -> None:
        if self._answers is not None:
            say(self.query_one("#portrait", Static), portrait(*self._answers, self.size.width - 2))

    def _look_again(self) -> None:
        background(self, self._look, exclusive=True, group="look")

    @on(events.Mount)
    def _begin_page(self) -> None:
        self._look_again()
        self.set_interval(_EVERY, self._look_again)

    @on(events.Resize)
    def _refit(self) -> None:
        self._draw()

    def _action_span(self) -> None:
        self._span = "24h" if self._span == "10m" else "10m"
        self._look_again()

    def _action_entries(self) -> None:
        self.app.push_screen(EntriesPage(self.desk, self.service))

    def _action_clear(self) -> None:
        self.app.push_screen(ClearPage(self.desk, Target(self.service)))
