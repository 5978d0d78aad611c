"""A choice between yes and no whose state shows without colours."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from cenote.cli.top.page import say

__all__ = ["Tick"]


class Tick(Static, can_focus=True):
    """A box that the space bar ticks.

    Args:
        label: What is chosen.
        options: Those of a Static.

    Attributes:
        value: Whether it is ticked.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,enter", "turn", "Tick")]
    DEFAULT_CSS = """
    Tick { height: 1; width: auto; }
    Tick:focus { text-style: reverse; }
    """

    class Changed(Message):
        """The box was ticked, or is no longer."""

    def __init__(self, label: str, **options: Any) -> None:
        super().__init__(markup=False, **options)
        self.label = label
        self.value = False

    def _draw(self) -> None:
        say(self, f"[{'x' if self.value else ' '}] {self.label}")

    @on(events.Mount)
    def _mounted(self) -> None:
        self._draw()

    @on(events.Click)
    def _clicked(self) -> None:
        self._action_turn()

    def _action_turn(self) -> None:
        self.value = not self.value
        self._draw()
        self.post_message(self.Changed())
