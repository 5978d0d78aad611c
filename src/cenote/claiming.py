"""Claiming: one load of a key among all processes that share the entries, before its loader runs.

Whoever finds another process loading looks, now and then, whether that is over; the value is then in the store. Nobody
waits longer than a load may take, for a process that is dead, or in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cenote import locks
from cenote.core import CacheCore
from cenote.errors import ClearFailedError, ClosedError
from cenote.flight import Flight, Outcome
from cenote.invalidation.claims import UNCLAIMED, Taken
from cenote.state import NOT_SHARED
from cenote.tables import Slot

__all__ = ["Claim", "ManyClaims"]

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
        self._identifier = _identifier(core, slot, flight)
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
        return _claims_around(self._flight.parent)


class ManyClaims:
    """The claims of the flights of one caller, asked for together.

    Why nobody waits in a circle: what is had is loaded, published and given back before the rest is asked for again, so
    whoever waits holds nothing that others wait for; and inside of another load nobody is waited for.

    Attributes:
        waiting: The keys whose loads other processes have, with their flights.
        nap: Seconds after which to ask again.
    """

    def __init__(self, core: CacheCore, flights: Mapping[str, tuple[Slot, Flight]]) -> None:
        """Ask for nothing yet.

        Args:
            core: The cache.
            flights: Table and flight of each of the caller's keys.
        """
        self._core = core
        self._identifiers = {key: _identifier(core, *each) for key, each in flights.items()}
        self._held: dict[str, Flight] = {}
        self._inside = any(_claims_around(flight.parent) for _, flight in flights.values())
        self.waiting = dict(flights)
        self.nap = _SHORTEST_NAP

    def ask(self) -> list[str]:
        """Take the claims that are to be had, in one step.

        Returns:
            The keys that the caller is to load now: those, and those that go without. What has ended meanwhile, because
            another process has loaded it, is not waited for any more.
        """
        for key in [key for key, (_, flight) in self.waiting.items() if flight.outcome is not None]:
            del self.waiting[key]
        groups: dict[int, list[str]] = {}
        for key, (_, flight) in self.waiting.items():
            if self._identifiers[key] is not None:
                groups.setdefault(flight.state.generation, []).append(key)
        turn = [key for key in self.waiting if self._identifiers[key] is None]
        stored: list[str] = []
        for generation, keys in groups.items():
            for key, taken in zip(keys, self._take(keys, generation), strict=True):
                if taken is None and not self._inside:
                    continue
                turn.append(key)
                if taken is not None and taken.claim != UNCLAIMED:
                    self._held[key] = self.waiting[key][1]
                    self._held[key].claim = taken.claim
                if taken is not None and taken.stored:
                    stored.append(key)
        if stored:
            # Whoever had it before may have published after this flight began.
            self._core.adopt_each([self.waiting[key] for key in stored])
            ended = [key for key in stored if self.waiting[key][1].outcome is not None]
            self.over(ended)
            turn = [key for key in turn if key not in ended]
            for key in ended:
                del self.waiting[key]
        self.nap = _SHORTEST_NAP if turn or stored else min(2 * self.nap, _LONGEST_NAP)
        for key in turn:
            del self.waiting[key]
        return turn

    def _take(self, keys: list[str], generation: int) -> list[Taken | None]:
        claims = self._core.log.claims
        alone: list[Taken | None] = [Taken(UNCLAIMED, stored=False)] * len(keys)
        if claims is None:
            return alone
        names = [identifier for key in keys if (identifier := self._identifiers[key]) is not None]
        bound = self._core.options.load_timeout or LONGEST_SECONDS
        try:
            return claims.take_each(self._core.name, names, generation, inside=[], bound=bound)
        except (ClearFailedError, ClosedError):
            return alone

    def over(self, keys: Iterable[str] | None = None) -> None:
        """Give the claims of keys back; of all that are held when none are named."""
        chosen = list(self._held) if keys is None else [key for key in keys if key in self._held]
        flights = [self._held.pop(key) for key in chosen]
        held = [flight.claim for flight in flights]
        for flight in flights:
            flight.claim = UNCLAIMED
        claims = self._core.log.claims
        if claims is None or not held:
            return
        try:
            claims.give_back_each(held, inside=[])
        except (ClearFailedError, ClosedError):
            return  # they end by themselves, after a while


def _identifier(core: CacheCore, slot: Slot, flight: Flight) -> str | None:
    """Return what a flight's load is claimed by; None where it needs no claim."""
    wanted = core.log.claims is not None and not flight.anew and flight.state.generation != NOT_SHARED
    return core.sharing.identifier(slot, flight.key) if core.sharing is not None and wanted else None


def _claims_around(flight: Flight | None) -> list[int]:
    """Return the claims of a flight and of those that it runs inside of."""
    found = []
    while flight is not None:
        if flight.claim != UNCLAIMED:
            found.append(flight.claim)
        flight = flight.parent
    return found
