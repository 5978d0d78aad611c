"""A page of ``cenote top``: a line that says where we are and how we are connected, then the page, then its keys."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Static

from cenote.cli.top.desk import Desk
from cenote.cli.top.feed import LinkState
from cenote.cli.top.words import fit, shown

__all__ = ["Page", "say"]

_SIGNS: Final = {
    LinkState.CONNECTING: ("…", "yellow"),
    LinkState.LIVE: ("●", "green"),
    LinkState.POLLING: ("○", "yellow"),
    LinkState.AWAY: ("✕", "bold red"),
    LinkState.REFUSED: ("✕", "bold red"),
}
_BROKEN: Final = {LinkState.AWAY, LinkState.REFUSED}


def say(widget: Static, text: str, style: str = "") -> None:
    """Show text as it is: nothing in it is markup."""
    widget.update(Text(text, style=style, end=""))


class Page(Screen[None]):
    """A page; those who derive from it fill it.

    Args:
        desk: The server that is looked at.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back")]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk

    def compose(self) -> ComposeResult:
        """Return the widgets of the page."""
        yield Static(id="banner", markup=False)
        yield from self.body()
        yield Footer(compact=True, show_command_palette=False)

    def body(self) -> list[Widget]:
        """Return what stands between the first line and the keys."""
        return []

    def heading(self) -> str:
        """Return what the page is about."""
        return "Cenote"

    def news(self, kind: str, data: dict[str, Any]) -> None:
        """Take what the server streams.

        Args:
            kind: The kind of the event.
            data: What it says.
        """

    def banner(self) -> None:
        """Draw the first line anew."""
        link = self.desk.link
        sign, style = _SIGNS[link.state]
        role = shown(self.desk.session.get("role") or "")
        state = f"{sign} {link.state.value}{f' {link.sentence}' if link.state is LinkState.POLLING else ''}"
        if link.state in _BROKEN:
            self.query_one("#banner", Static).update(
                Text(fit(f"{sign} {link.state.value}: {shown(link.sentence)} Trying again.", self.size.width), style)
            )
            return
        right = f"{role}  {state}" if role else state
        left = fit(f"{self.heading()}  {shown(self.desk.client.address)}", max(self.size.width - len(right) - 1, 1))
        text = Text(f"{left} {right}", style="bold")
        text.stylize(style, len(left) + 1 + len(right) - len(state))
        self.query_one("#banner", Static).update(text)

    @on(events.ScreenResume)
    def _resumed(self) -> None:
        self.banner()

    @on(events.Resize)
    def _resized(self) -> None:
        if self.is_mounted:
            self.banner()

    def _action_back(self) -> None:
        self.dismiss()
