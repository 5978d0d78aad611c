"""Work that goes on behind the screen."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from textual.dom import DOMNode
from textual.worker import Worker

__all__ = ["background"]


def background(
    node: DOMNode, work: Callable[[], Coroutine[Any, Any, None]], group: str = "default", *, exclusive: bool = False
) -> None:
    """Do something while the screen goes on; it ends with the page.

    Args:
        node: The page, or the application.
        work: Makes the coroutine when its turn comes, so that none is left over that nobody awaits.
        group: What it belongs to.
        exclusive: Whether it takes the place of all in its group.
    """
    _worker: Worker[None] = node.run_worker(work, group=group, exclusive=exclusive)
