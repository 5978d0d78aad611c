"""Pacing: loads behind a clear are let through at a bounded rate, those of the hottest keys first.

Nothing is served here and nothing stored. A load that waits was registered in the State that the clear put in force,
so its birth is not older than the clear; whatever is cleared while it waits leaves that State behind, and it publishes
nothing. Every wait is bounded by time, and who is let through depends on time alone and on no other load, so loads that
wait for loads inside of them cannot wait in a circle.

Processes that share a cache begin the same refill when they obey the clear's record, each with its share of the rate.
What the share is told from is never relied on for more than the rate.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Final

from cenote import locks
from cenote.errors import CenoteError
from cenote.refills import EndedBy, Refill, RefillStatus

__all__ = ["Pace", "Place", "Ticket", "TryAgain"]

logger = logging.getLogger("cenote")

Place = tuple[int, Hashable]
"""A table's number and a key there."""

QUIET_SECONDS: Final = 5.0
"""How long nobody must have waited before a refill ends."""

SHARE_SECONDS: Final = 1.0
"""How often a process asks for its share of the rate: others come and go."""

_BURST_SECONDS: Final = 0.1
_LONGEST_NAP: Final = 0.5
_SHORTEST_NAP: Final = 0.001


class TryAgain(BaseException):  # never raised to a caller
    """The cache was cleared while a load waited to be let through: whoever wanted it looks again."""


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
    """The refill of one cache in one process; any thread may ask."""

    def __init__(
        self,
        refill: Refill,
        clear_id: str,
        hottest: Mapping[Place, float],
        now: Callable[[], float],
        started: float,
        *,
        elapsed: float = 0.0,
        share: Callable[[], float] = lambda: 1.0,
        launch: Callable[[Callable[[], object]], object] | None = None,
    ) -> None:
        """Begin a refill.

        Args:
            refill: Its terms.
            clear_id: The clear that it is behind.
            hottest: Reads a second of the keys that were read most before the clear.
            now: Returns monotonic seconds.
            started: When it began, in seconds since the Unix epoch.
            elapsed: Seconds since then, where this process comes later.
            share: Returns which share of the rate this process has, from above 0 to 1.
            launch: Runs a function in a thread of its own: ``run``, once a load has to wait; None: nobody does.
        """
        self.refill = refill
        self._clear_id = clear_id
        self._now = now
        self._started = started
        self._launch = launch
        self._lock = locks.make_lock()
        self._rates = dict(hottest)
        self._missing = set(self._rates)
        self._share = share
        self._part = 1.0
        self._asked = self._counted = self._quiet_since = now()
        self._learn()
        # Where many begin at once, no more than one load of all comes at once.
        self._tokens = self._part
        self._begun = self._asked - elapsed
        self._queue: list[Ticket] = []
        self._waiting = 0
        self._admitted = 0
        self._timed_out = 0
        self._number = 0
        self.ended_by: EndedBy | None = None
        self._ended = 0.0
        self._attended = False
        self._change = threading.Event()

    @property
    def running(self) -> bool:
        """Whether loads are held back."""
        return self.ended_by is None

    @property
    def rate(self) -> float:
        """Loads a second that this process lets through."""
        return self.refill.rate * self._part

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
        self._learn_lately()
        woken: list[Ticket] = []
        ticket: Ticket | None = None
        unattended = False
        with self._lock:
            now = self._now()
            self._earn(now)
            woken = self._end_if_over(now)
            if self.ended_by is None:
                if not self._waiting and self._tokens >= 1:
                    self._spend(place, weight)
                    return None
                self._number += 1
                ticket = Ticket(place, (-self._rates.get(place, 0.0), self._number), weight, wake)
                heapq.heappush(self._queue, ticket)
                self._waiting += 1
                self._quiet_since = now
                unattended = not self._attended
                self._attended = True
        for each in woken:
            each.wake()
        if unattended:
            self._have_run()
        self._change.set()
        return ticket

    def _have_run(self) -> None:
        if self._launch is None:
            return
        try:
            self._launch(self.run)
        except RuntimeError as reason:
            self.end("stopped")
            logger.warning("no thread for the refill of a cache, which goes on at once: %s", reason)

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
        self._learn_lately()
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
            woken += self._end_if_over(now)
            pause = (1 - self._tokens) / self.rate if self._waiting else _LONGEST_NAP
        for ticket in woken:
            ticket.wake()
        return max(_SHORTEST_NAP, min(pause, _LONGEST_NAP))

    def run(self) -> None:
        """Let loads through until the refill is over, or nobody has waited for a while; in a thread of its own."""
        while self._is_wanted():
            self._change.wait(self.pump())
            self._change.clear()

    def _is_wanted(self) -> bool:
        with self._lock:
            waits = self._waiting > 0 or self._now() < self._quiet_since + QUIET_SECONDS
            self._attended = self.running and waits
            return self._attended

    def end(self, ended_by: EndedBy) -> None:
        """End the refill: who waits may go, or, where the cache was cleared, has to look again."""
        with self._lock:
            woken = self._finish(ended_by, self._now())
        for ticket in woken:
            ticket.wake()
        self._change.set()

    def _end_if_over(self, now: float) -> list[Ticket]:
        """End the refill where its time is over, or nobody needs it any more; return who is to be woken."""
        if now >= self._begun + self.refill.max_seconds:
            return self._finish("maxSeconds", self._begun + self.refill.max_seconds)
        if not self._missing and not self._waiting and now >= self._quiet_since + QUIET_SECONDS:
            return self._finish("hottestBack", now)
        return []

    def _finish(self, ended_by: EndedBy, now: float) -> list[Ticket]:
        if self.ended_by is not None:
            return []
        self.ended_by, self._ended = ended_by, now
        woken = [ticket for ticket in self._queue if not ticket.gone]
        for ticket in woken:
            if ended_by in {"cleared", "switchedOff"}:
                ticket.again = True
            else:
                ticket.granted = True
        self._queue, self._waiting = [], 0
        return woken

    def _learn_lately(self) -> None:
        """Learn the share anew, if it was learnt a while ago; never under the lock, since the answer may take long."""
        now = self._now()
        if now >= self._asked + SHARE_SECONDS:
            self._asked = now
            self._learn()

    def _learn(self) -> None:
        try:
            part = self._share()
        except (CenoteError, OSError, ValueError):
            return  # nobody can be asked just now, or this process leaves: the last answer will do
        self._part = min(1.0, part) if part > 0 else 1.0

    def _earn(self, now: float) -> None:
        burst = max(1.0, self.rate * _BURST_SECONDS)
        self._tokens = min(burst, self._tokens + (now - self._counted) * self.rate)
        self._counted = now

    def _spend(self, place: Place, weight: int) -> None:
        # A load of many keys takes as much, and those behind it wait for that.
        self._tokens -= weight
        self._admitted += 1
        self._missing.discard(place)

    def status(self) -> RefillStatus:
        """Say how it goes on in this process."""
        with self._lock:
            now = self._now()
            woken = self._end_if_over(now)
            end = now if self.running else self._ended
            status = RefillStatus(
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
        for ticket in woken:
            ticket.wake()
        return status
