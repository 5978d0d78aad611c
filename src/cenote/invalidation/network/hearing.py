"""Hearing: which machines there are, and which of them have learned of what a thread writes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from cenote.clock import lease_clock as now
from cenote.errors import ClearFailedError
from cenote.invalidation.log import Members, Standing
from cenote.invalidation.machine.membership import Membership
from cenote.invalidation.machine.mirror import renewals_of
from cenote.invalidation.network.answers import Peer
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.link import UnreachableError

__all__ = ["Hearing"]


class Hearing:
    """The part of a network's log that says what becomes of its records."""

    ledger: Ledger
    membership: Membership | None
    _written: threading.local

    def note(self, members: Members) -> None:
        """Remember who learned of what this thread wrote last."""
        self._written.members = members

    @property
    def members(self) -> Members:
        """The machines that learned of what this thread wrote last."""
        found: Members = getattr(self._written, "members", Members())
        return found

    @contextlib.contextmanager
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

    def standing(self) -> Standing:
        """Return how this machine stands with the others, as its agent and the server say."""
        joined, members = self.membership, None
        with contextlib.suppress(UnreachableError):
            members = len(self.peers())
        if joined is None:
            return Standing(0.0, 0, 0, members)
        return Standing(max(0.0, joined.deadline[0] - now()), *renewals_of(joined), members)
