"""The application of ``cenote top``."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.app import App
from textual.binding import Binding, BindingType

from cenote.cli.client import CenoteClient
from cenote.cli.failures import NotAllowed
from cenote.cli.top.background import background
from cenote.cli.top.desk import Desk
from cenote.cli.top.feed import Feed, Link, LinkState
from cenote.cli.top.overview import OverviewPage
from cenote.cli.top.page import Page

__all__ = ["TopApp"]


class TopApp(App[None]):
    """All caches of a server on a terminal, live.

    It uses the sixteen colours that the terminal itself has, so it looks right wherever that is; with NO_COLOR,
    none.

    Args:
        client: Answers questions.
        patient: Answers clears, which may take as long as a lease.
    """

    TITLE = "cenote top"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+r", "hurry", "Try again now", show=False),
    ]
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #banner { height: 1; }
    """

    def __init__(self, client: CenoteClient, patient: CenoteClient) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.animation_level = "none"
        self.desk = Desk(client, patient)
        self._overview = OverviewPage(self.desk)
        self._feed = Feed(client, happened=self._happened, refresh=self._refresh, changed=self._changed)

    @on(events.Mount)
    def _mounted(self) -> None:
        self.push_screen(self._overview)
        background(self, self._feed.run, group="feed")

    async def _refresh(self) -> None:
        if self.desk.link.state is not LinkState.LIVE:
            await self._who()
        await self._overview.look()

    async def _who(self) -> None:
        """Ask who we are; a server that came back may see it otherwise."""
        session = await self.desk.ask(CenoteClient.session)
        if session.get("role") is None:
            # The overview's own answer says what is wrong with the token.
            await self.desk.ask(lambda client: client.overview(limit=1, sparklines=False))
            raise NotAllowed("The server does not say who we are.")
        if session != self.desk.session:
            self.desk.session = session
            self._banners()
            self.screen.refresh_bindings()

    def _happened(self, kind: str, data: dict[str, Any]) -> None:
        for page in self.screen_stack:
            if isinstance(page, Page):
                page.news(kind, data)

    def _changed(self, link: Link) -> None:
        self.desk.link = link
        self._banners()

    def _banners(self) -> None:
        for page in self.screen_stack:
            if isinstance(page, Page) and page.is_mounted:
                page.banner()

    def _action_hurry(self) -> None:
        self._feed.hurry()
