"""Hearing: which machines there are, and which of them have learned of what a thread writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from cenote.errors import ClearFailedError
from cenote.invalidation.network.ledger import Ledger, Peer
from cenote.invalidation.network.link import UnreachableError

__all__ = ["Hearing"]


class Hearing:
    """The part of a network's log that says what becomes of its records."""

    ledger: Ledger
    _written: threading.local

    @contextmanager
    def listening(self, listener: Callable[[str], None] | None) -> Iterator[None]:
        """Have a function hear of every machine that learns of what this thread writes, as it does so."""
        self._written.listener = listener
        try:
            yield
        finally:
            self._written.listener = None

    def tell(self, name: str) -> None:
        """Say that a machine has learned of it."""
        listener: Callable[[str], None] | None = getattr(self._written, "listener", None)
        if listener is not None:
            listener(name)

    def machines(self) -> Sequence[str]:
        """Return the names of the machines that the server knows, sorted."""
        try:
            return sorted(peer.name for peer in self.peers())
        except UnreachableError as error:
            raise ClearFailedError(str(error), "none") from error

    def peers(self) -> list[Peer]:
        """Return the members that the server knows."""
        return self.ledger.members()[1]
