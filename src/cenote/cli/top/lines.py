"""A list of which only the lines on the screen are drawn."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cenote.cli.top.words import fit

__all__ = ["Lines"]

_CURSOR = Style(reverse=True)


class Lines(ScrollView, can_focus=True):
    """A list with a cursor; those who derive from it say what stands on a line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(1)", "Last", show=False),
        Binding("enter", "choose", "Open"),
    ]
    DEFAULT_CSS = """
    Lines { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; }
    """

    class Chosen(Message):
        """Somebody pressed Enter on a line, or clicked it twice.

        Args:
            lines: The list.
            place: The line, from 0.
        """

        def __init__(self, lines: Lines, place: int) -> None:
            super().__init__()
            self.lines = lines
            self.place = place

        @property
        def control(self) -> Lines:
            """The list."""
            return self.lines

    class Moved(Message):
        """Other lines are on the screen, or the cursor is on another one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.cursor = 0
        self.count = 0

    @abstractmethod
    def line(self, place: int, width: int) -> tuple[str, Style]:
        """Return what stands on a line, and how.

        Args:
            place: The line, from 0.
            width: Columns.
        """

    def resize_to(self, count: int) -> None:
        """Say how many lines there are; all that is shown is drawn anew."""
        if count != self.count:
            self.count = count
            self.virtual_size = Size(0, count)
            self.cursor = max(min(self.cursor, count - 1), 0)
        self.refresh()

    @property
    def first(self) -> int:
        """The first line on the screen."""
        return int(self.scroll_offset.y)

    @property
    def rows(self) -> int:
        """How many lines the screen has."""
        return max(self.scrollable_content_region.height, 1)

    def move_to(self, place: int) -> None:
        """Put the cursor on a line and that line on the screen."""
        self.cursor = max(min(place, self.count - 1), 0)
        self.scroll_to_region(Region(0, self.cursor, 1, 1), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        place = self.first + y
        width = self.scrollable_content_region.width
        if place >= self.count:
            return Strip.blank(width, self.rich_style)
        text, style = self.line(place, width)
        style = self.rich_style + style
        if place == self.cursor and self.has_focus:
            style += _CURSOR
        return Strip([Segment(fit(text, width), style)], width)

    def _action_move(self, step: int) -> None:
        self.move_to(self.cursor + step)

    def _action_page(self, step: int) -> None:
        self.move_to(self.cursor + step * max(self.rows - 1, 1))

    def _action_edge(self, end: int) -> None:
        self.move_to(self.count - 1 if end else 0)

    def _action_choose(self) -> None:
        if self.count:
            self.post_message(self.Chosen(self, self.cursor))

    @on(events.Click)
    def _clicked(self, event: events.Click) -> None:
        place = self.first + event.y
        if place < self.count:
            again = place == self.cursor and event.chain > 1
            self.move_to(place)
            if again:
                self._action_choose()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell that other lines are on the screen."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Moved())
