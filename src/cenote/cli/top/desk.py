"""What all pages of ``cenote top`` share: the server, what is known of it, and who we are to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cenote.cli.client import CenoteClient
from cenote.cli.top.aside import aside
from cenote.cli.top.board import Board
from cenote.cli.top.feed import Link, LinkState

__all__ = ["Desk"]

_Answer = TypeVar("_Answer")


class Desk:
    """The server that is looked at.

    Args:
        client: Answers questions.
        patient: Answers a clear, which may take as long as a lease.

    Attributes:
        board: What is known of the caches.
        link: How we are connected.
        session: Who we are to the server; empty before it said so.
    """

    def __init__(self, client: CenoteClient, patient: CenoteClient) -> None:
        self.client = client
        self.patient = patient
        self.board = Board()
        self.link = Link(LinkState.CONNECTING)
        self.session: dict[str, Any] = {}

    @property
    def may_clear(self) -> bool:
        """Whether the server lets us clear."""
        return self.session.get("role") == "operator"

    async def ask(self, question: Callable[[CenoteClient], _Answer]) -> _Answer:
        """Ask the server, and let the screen go on meanwhile.

        Args:
            question: What to ask.

        Returns:
            The answer.

        Raises:
            Failure: There is none.
        """
        return await aside(lambda: question(self.client))
