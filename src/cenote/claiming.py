"""Claiming: one load of a key among all processes that share the entries, before its loader runs.

Whoever finds another process loading looks, now and then, whether that is over; the value is then in the store. Nobody
waits longer than a load may take, for a process that is dead, or in a circle.
"""

from __future__ import annotations

from typing import Final

from cenote import locks
from cenote.core import CacheCore
from cenote.errors import ClearFailedError, ClosedError
from cenote.flight import Flight, Outcome
from cenote.invalidation.claims import UNCLAIMED
from cenote.state import NOT_SHARED
from cenote.tables import Slot

__all__ = ["Claim"]

LONGEST_SECONDS: Final = 30.0
"""How long a claim counts where there is no load_timeout."""

_SHORTEST_NAP: Final = 0.0005
_LONGEST_NAP: Final = 0.02
_ASK_AGAIN: Final = 8
"""After so many naps the claim is looked at under the lock: its owner may have died."""


class Claim:
    """The claim of one flight.

    Attributes:
        outcome: How the flight ended without its loader: another process has loaded the value.
    """

    __slots__ = ("_core", "_flight", "_identifier", "_lock", "_nap", "_naps", "_over", "_slot", "outcome")

    def __init__(self, core: CacheCore, slot: Slot, flight: Flight) -> None:
        """Prepare to claim a flight's load.

        Args:
            core: The cache.
            slot: The flight's table.
            flight: The flight.
        """
        self._core = core
        self._slot = slot
        self._flight = flight
        self._identifier = None
        wanted = core.log.claims is not None and not flight.anew and flight.state.generation != NOT_SHARED
        if core.sharing is not None and wanted:
            self._identifier = core.sharing.identifier(slot, flight.key)
        self._nap = _SHORTEST_NAP
        self._naps = 0
        self._lock = locks.make_lock()
        self._over = False
        self.outcome: Outcome | None = None

    def pause(self) -> float | None:
        """Take the claim if it is to be had.

        Returns:
            Seconds after which to ask again; None when the loader is to run, or ``outcome`` says how the flight ended.
        """
        claims, flight = self._core.log.claims, self._flight
        if self._identifier is None or claims is None:
            return None
        if flight.outcome is not None:
            self.outcome = flight.outcome
            return None
        generation = flight.state.generation
        try:
            self._naps += 1
            if self._naps % _ASK_AGAIN != 1 and claims.is_busy(self._core.name, self._identifier, generation):
                self._nap = min(2 * self._nap, _LONGEST_NAP)
                return self._nap
            taken = claims.take(
                self._core.name,
                self._identifier,
                generation,
                inside=self._around(),
                bound=self._core.options.load_timeout or LONGEST_SECONDS,
            )
        except (ClearFailedError, ClosedError):
            return None
        if taken is None:
            self._nap = min(2 * self._nap, _LONGEST_NAP)
            return self._nap
        if not self._hold(taken.claim):
            return None
        if taken.stored:
            # Whoever had it before may have published after this flight began.
            self.outcome = self._core.adopt(self._slot, flight)
        return None

    def _hold(self, claim: int) -> bool:
        """Note a claim that was had; return False, and give it back, where the load was given up meanwhile.

        A task may be cancelled while a thread asks for its claim. Whichever of the two comes last gives it back.
        """
        with self._lock:
            if not self._over:
                self._flight.claim = claim
                return True
        self._give_back(claim)
        return False

    def over(self) -> None:
        """Give the claim back, now or once it is had."""
        flight = self._flight
        with self._lock:
            self._over = True
            claim, flight.claim = flight.claim, UNCLAIMED
        if claim != UNCLAIMED or self._naps:
            self._give_back(claim)

    def _give_back(self, claim: int) -> None:
        claims = self._core.log.claims
        if claims is None:
            return
        try:
            claims.give_back(claim, inside=self._around() if self._naps > 1 else [])
        except (ClearFailedError, ClosedError):
            return  # it ends by itself, after a while

    def _around(self) -> list[int]:
        """Return the claims of the flights that this one runs inside of."""
        found = []
        flight = self._flight.parent
        while flight is not None:
            if flight.claim != UNCLAIMED:
                found.append(flight.claim)
            flight = flight.parent
        return found
