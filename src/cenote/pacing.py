"""Pacing: loads behind a clear are let through at a bounded rate, those of the hottest keys first.

Nothing is served here and nothing stored. A load that waits was registered in the State that the clear put in force,
so its birth is not older than the clear; whatever is cleared while it waits leaves that State behind, and it publishes
nothing. Every wait is bounded by time, and who is let through depends on time alone and on no other load, so loads that
wait for loads inside of them cannot wait in a circle.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from cenote import locks
from cenote.errors import ConfigurationError
from cenote.options import seconds

__all__ = ["Pace", "Place", "Refill", "RefillStatus", "Ticket", "TryAgain"]

Place = tuple[int, Hashable]
"""A table's number and a key there."""

EndedBy = Literal["hottestBack", "maxSeconds", "cleared", "stopped", "switchedOff"]

QUIET_SECONDS: Final = 5.0
"""How long nobody must have waited before a refill ends."""

_BURST_SECONDS: Final = 0.1
_LONGEST_NAP: Final = 0.5
_SHORTEST_NAP: Final = 0.001


class TryAgain(BaseException):  # never raised to a caller
    """The cache was cleared while a load waited to be let through: whoever wanted it looks again."""


@dataclass(frozen=True, slots=True)
class Refill:
    """How loads are let through behind a clear.

    Attributes:
        rate: Loads a second, in each process.
        max_seconds: Seconds after which loads are let through as always.
        wait_seconds: Seconds that a caller waits for its load to be let through.
        on_timeout: What becomes of a caller that waited so long: "load" loads all the same, "error" raises
            RefillTimeoutError.
    """

    rate: float
    max_seconds: float = 600.0
    wait_seconds: float = 10.0
    on_timeout: Literal["load", "error"] = "load"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        rate = self.rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 1_000_000:
            raise ConfigurationError(f"rate must be a number of loads a second, above 0, not {rate!r}")
        object.__setattr__(self, "max_seconds", seconds("max_seconds", self.max_seconds))
        object.__setattr__(self, "wait_seconds", seconds("wait_seconds", self.wait_seconds, zero=True))
        if self.on_timeout not in ("load", "error"):
            raise ConfigurationError(f"on_timeout must be 'load' or 'error', not {self.on_timeout!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillStatus:
    """How a refill goes on.

    Attributes:
        clear_id: The clear that it is behind.
        running: Whether it goes on.
        rate: Loads a second.
        started: When it began, in seconds since the Unix epoch.
        seconds: Seconds since then.
        max_seconds: Seconds after which it ends.
        admitted: Loads that were let through.
        waiting: Loads that wait.
        timed_out: Loads that waited too long.
        hottest: How many keys are on the list of the hottest.
        hottest_back: How many of these were let through.
        ended_by: What ended it; None while it goes on.
    """

    clear_id: str
    running: bool
    rate: float
    started: float
    seconds: float
    max_seconds: float
    admitted: int
    waiting: int
    timed_out: int
    hottest: int
    hottest_back: int
    ended_by: EndedBy | None


class Ticket:
    """A load that waits to be let through.

    Attributes:
        granted: Whether it may run.
        again: Whether whoever wanted it has to look again, because the cache was cleared.
    """

    __slots__ = ("again", "gone", "granted", "order", "place", "wake", "weight")

    def __init__(self, place: Place, order: tuple[float, int], weight: int, wake: Callable[[], None]) -> None:
        self.place = place
        self.order = order
        self.weight = weight
        self.wake = wake
        self.granted = self.again = self.gone = False

    def __lt__(self, other: Ticket) -> bool:
        return self.order < other.order

    @property
    def over(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.granted or self.again


class Pace:
    """The refill of one cache; any thread may ask."""

    def __init__(
        self, refill: Refill, clear_id: str, hottest: Mapping[Place, float], now: Callable[[], float], started: float
    ) -> None:
        """Begin a refill.

        Args:
            refill: Its terms.
            clear_id: The clear that it is behind.
            hottest: Reads a second of the keys that were read most before the clear.
            now: Returns monotonic seconds.
            started: Now, in seconds since the Unix epoch.
        """
        self.refill = refill
        self._clear_id = clear_id
        self._now = now
        self._started = started
        self._lock = locks.make_lock()
        self._rates = dict(hottest)
        self._missing = set(self._rates)
        self._burst = max(1.0, refill.rate * _BURST_SECONDS)
        self._tokens = 1.0
        self._begun = self._counted = self._quiet_since = now()
        self._queue: list[Ticket] = []
        self._waiting = 0
        self._admitted = 0
        self._timed_out = 0
        self._number = 0
        self.ended_by: EndedBy | None = None
        self._ended = 0.0
        self._change = threading.Event()

    @property
    def running(self) -> bool:
        """Whether loads are held back."""
        return self.ended_by is None

    def ask(self, place: Place, wake: Callable[[], None], *, weight: int = 1) -> Ticket | None:
        """Ask for a load to be let through.

        Args:
            place: What it loads.
            wake: Called, in any thread, when there is nothing more to wait for.
            weight: How many keys it loads at once.

        Returns:
            A ticket to wait for; None when it may run at once.
        """
        if self.ended_by is not None or locks.owned(self._lock):
            return None  # also what a finalizer amid a change of this very refill is told
        with self._lock:
            now = self._now()
            self._earn(now)
            if self.ended_by is not None:
                return None
            if not self._waiting and self._tokens >= 1:
                self._spend(place, weight)
                return None
            self._number += 1
            ticket = Ticket(place, (-self._rates.get(place, 0.0), self._number), weight, wake)
            heapq.heappush(self._queue, ticket)
            self._waiting += 1
            self._quiet_since = now
        self._change.set()
        return ticket

    def give_up(self, ticket: Ticket, *, timed_out: bool) -> None:
        """Stop waiting."""
        with self._lock:
            if ticket.over or ticket.gone:
                return
            ticket.gone = True
            self._waiting -= 1
            self._timed_out += timed_out
            if timed_out:
                self._missing.discard(ticket.place)

    def pump(self) -> float:
        """Let through whatever may; return the seconds after which to do so again."""
        woken: list[Ticket] = []
        with self._lock:
            now = self._now()
            self._earn(now)
            while self._queue and self._tokens >= 1:
                ticket = heapq.heappop(self._queue)
                if ticket.gone:
                    continue
                self._waiting -= 1
                self._spend(ticket.place, ticket.weight)
                ticket.granted = True
                woken.append(ticket)
            if self._waiting:
                self._quiet_since = now
            if now >= self._begun + self.refill.max_seconds:
                woken += self._finish("maxSeconds")
            elif not self._missing and not self._waiting and now >= self._quiet_since + QUIET_SECONDS:
                woken += self._finish("hottestBack")
            pause = (1 - self._tokens) / self.refill.rate if self._waiting else _LONGEST_NAP
        for ticket in woken:
            ticket.wake()
        return max(_SHORTEST_NAP, min(pause, _LONGEST_NAP))

    def run(self) -> None:
        """Let loads through until the refill is over; in a thread of its own."""
        while self.running:
            self._change.wait(self.pump())
            self._change.clear()

    def end(self, ended_by: EndedBy) -> None:
        """End the refill: who waits may go, or, where the cache was cleared, has to look again."""
        with self._lock:
            woken = self._finish(ended_by)
        for ticket in woken:
            ticket.wake()
        self._change.set()

    def _finish(self, ended_by: EndedBy) -> list[Ticket]:
        if self.ended_by is not None:
            return []
        self.ended_by, self._ended = ended_by, self._now()
        woken = [ticket for ticket in self._queue if not ticket.gone]
        for ticket in woken:
            if ended_by in {"cleared", "switchedOff"}:
                ticket.again = True
            else:
                ticket.granted = True
        self._queue, self._waiting = [], 0
        return woken

    def _earn(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self.refill.rate)
        self._counted = now

    def _spend(self, place: Place, weight: int) -> None:
        # A load of many keys takes as much, and those behind it wait for that.
        self._tokens -= weight
        self._admitted += 1
        self._missing.discard(place)

    def status(self) -> RefillStatus:
        """Say how it goes on."""
        with self._lock:
            end = self._now() if self.running else self._ended
            return RefillStatus(
                clear_id=self._clear_id,
                running=self.running,
                rate=self.refill.rate,
                started=self._started,
                seconds=max(0.0, end - self._begun),
                max_seconds=self.refill.max_seconds,
                admitted=self._admitted,
                waiting=self._waiting,
                timed_out=self._timed_out,
                hottest=len(self._rates),
                hottest_back=len(self._rates) - len(self._missing),
                ended_by=self.ended_by,
            )
