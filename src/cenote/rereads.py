"""Rereads: how soon a cache's entries are read again, counted over some that are chosen at random.

Pure. From a random moment on, a cache's entries are read again one after the other; behind a clear each of these first
reads is a load. So the share of entries that were read again within a time is the share that will have been loaded so
long after a clear, whatever the distribution of the reads. What left before it was read again would have been loaded
without the clear too, and is not counted.

Entries are chosen again and again. How likely one is read in a step of time, if it was not before, is counted over all
of these cohorts that were watched for so long (Kaplan and Meier, "Nonparametric Estimation from Incomplete
Observations", 1958), for young and old entries apart: a cache whose entries are older now than when they were watched
is not taken for what it was.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import exp, log2
from typing import Final

from cenote.room import Room

__all__ = ["AGES", "HORIZON", "STEPS", "Cohort", "Rereads", "step_ends"]

HORIZON: Final = 600.0
"""Seconds that a forecast looks ahead."""

STEPS: Final = 60
"""Points of a curve."""

AGES: Final = (15.0, 60.0, 240.0)
"""Seconds of age, since its load, at which an entry passes from one class to the next."""

_CLASSES: Final = len(AGES) + 1
_DOUBT: Final = 20.0
"""Entries that a class of age is taken to have more, as likely to be read as those of all classes."""

_TYPICAL: Final = 200
"""Entries that tell how old those that are held now are."""


def step_ends(horizon: float = HORIZON, steps: int = STEPS) -> list[float]:
    """Return when the steps of a curve end: short ones first, each a little longer than the one before."""
    growth = 1.05
    first = horizon * (growth - 1) / (growth**steps - 1)
    ends, end = [], 0.0
    for step in range(steps):
        end += first * growth**step
        ends.append(end)
    return ends


_ENDS: Final = step_ends()
_SLIGHTLY: Final = 1e-6
_HARDLY: Final = 0.01


class Cohort:
    """Entries that were chosen at random at one moment, and what was seen of them since.

    Attributes:
        held: How many entries the cache held then.
        chosen: How many were chosen, by class of age.
        read: How many of them were read again, by class of age and by step.
        costs: Seconds that loading these had taken, by step.
        later: How many more loads, or fewer where it is negative, there are of these further on, by step.
        later_costs: Seconds that these take, by step.
        reach: Seconds that they were watched for.
    """

    __slots__ = ("chosen", "costs", "held", "later", "later_costs", "reach", "read")

    def __init__(self, held: int) -> None:
        """Begin with none chosen.

        Args:
            held: How many entries the cache holds.
        """
        self.held = held
        self.chosen = [0] * _CLASSES
        self.read = [[0] * STEPS for _ in range(_CLASSES)]
        self.costs = [0.0] * STEPS
        self.later = [0.0] * STEPS
        self.later_costs = [0.0] * STEPS
        self.reach = 0.0

    def choose(self, age: float) -> int:
        """Take in an entry of so many seconds of age; return its class."""
        kind = bisect_right(AGES, age)
        self.chosen[kind] += 1
        return kind

    def note(self, kind: int, seconds: float, cost: float) -> None:
        """Note that an entry was read again.

        Args:
            kind: Its class.
            seconds: After how many seconds.
            cost: Seconds that its load took.
        """
        step = bisect_left(_ENDS, seconds)
        if step < STEPS:
            self.read[kind][step] += 1
            self.costs[step] += cost

    def put_off(self, first: float, usual: float, life: float, wait: float, cost: float) -> None:
        """Note that an entry which was read again ended afterwards, and was loaded then.

        Behind a clear it is loaded when it is read, and so it ends later: the load that was seen is saved, one comes
        when the newer value has ended, and so on in turns, until a read comes after both have ended: from then on
        there is no difference.

        Args:
            first: After how many seconds it was read.
            usual: After how many seconds it was loaded.
            life: Seconds from a load to its end.
            wait: Seconds from an end to the next read.
            cost: Seconds that a load takes.
        """
        apart, cycle = usual - first, life + wait
        # Between the two ends there is a read, or there is none.
        sooner, later = (1 - exp(-gap / wait) if wait > 0 else 1.0 for gap in (apart, max(0.0, life - apart)))
        at, other, loads = usual, first + cycle, -1.0
        while at < HORIZON and abs(loads) > _HARDLY:
            step = bisect_left(_ENDS, at)
            if step < STEPS:
                self.later[step] += loads
                self.later_costs[step] += loads * cost
            loads *= -sooner
            at, other, sooner, later = other, at + cycle, later, sooner


class Rereads:
    """How many of a cache's entries are read again within a time, and what loading those takes.

    A cache that grows is read in two ways: what was there when a cohort was chosen is read as the cohort says, and what
    came since has not been watched. It is taken to be read half as much, between all of it and nothing.

    Attributes:
        sightings: How many entries it was told from.
        reach: The longest that one was watched for, in seconds; what lies beyond is a guess.
        room: What is saved while nothing is evicted; None where that is not known.
    """

    def __init__(self, cohorts: Sequence[Cohort], *, held: int = 0, room: Room | None = None) -> None:
        """Count what was seen.

        Args:
            cohorts: The cohorts, the oldest first.
            held: How many entries the cache holds now; 0: as many as at any time.
            room: What is saved while nothing is evicted.
        """
        self.room = room
        self.sightings = sum(sum(cohort.chosen) for cohort in cohorts)
        ages = _ages_of(cohorts)
        left = [float(share) for share in ages]
        unread = [list(cohort.chosen) for cohort in cohorts]
        watched = [
            (cohort, rest, bisect_right(_ENDS, cohort.reach + _SLIGHTLY))
            for cohort, rest in zip(cohorts, unread, strict=True)
        ]
        self._times, self._shares, self._costs = [0.0], [0.0], [0.0]
        share, cost, put_off = 0.0, 0.0, 0.0
        for step, end in enumerate(_ENDS):
            watched = [each for each in watched if step < each[2]]
            if not watched:
                break
            risks, reads = [0] * _CLASSES, [0] * _CLASSES
            seconds, grown, all_later, later_seconds, known = 0.0, 0.0, 0.0, 0.0, 0
            for cohort, rest, _ in watched:
                seconds += cohort.costs[step]
                grown += (1 + min(1.0, cohort.held / held)) / 2 if held else 1.0
                for kind in range(_CLASSES):
                    found = cohort.read[kind][step]
                    risks[kind] += rest[kind]
                    reads[kind] += found
                    rest[kind] -= found
                all_later += cohort.later[step]
                later_seconds += cohort.later_costs[step]
                known += sum(cohort.chosen) - sum(rest)
            all_reads = sum(reads)
            if all_reads:
                typical = all_reads / sum(risks)
                lost = 0.0
                for kind in range(_CLASSES):
                    gone = left[kind] * (reads[kind] + _DOUBT * typical) / (risks[kind] + _DOUBT)
                    left[kind] -= gone
                    lost += gone
                lost *= grown / len(watched)
                share += lost
                cost += lost * seconds / all_reads
            if known:
                put_off += share * all_later / known
                cost += share * later_seconds / known
            self._times.append(end)
            self._shares.append(max(0.0, share + put_off))
            self._costs.append(max(0.0, cost))
        self.reach = min(HORIZON, max((cohort.reach for cohort in cohorts), default=0.0))
        self._hull_times, self._hull = _concave(self._times, self._shares)

    def share(self, seconds: float) -> float:
        """Return the share of the entries that are read again within so many seconds."""
        return self._at(self._times, self._shares, seconds, most=1.0)

    def trend(self, seconds: float) -> float:
        """Return the same, smoothed: the rate at which entries are read again for the first time only falls.

        It is the slope of the least concave majorant (Grenander, "On the theory of mortality measurement", 1956).
        """
        return self._at(self._hull_times, self._hull, seconds, most=1.0)

    def cost(self, seconds: float) -> float:
        """Return the load time of what is read again within so many seconds, in seconds for each entry held."""
        return self._at(self._times, self._costs, seconds, most=float("inf"))

    def _at(self, times: list[float], values: list[float], seconds: float, *, most: float) -> float:
        last = times[-1]
        if seconds <= last or last <= 0:
            at = bisect_right(times, seconds)
            before = times[at - 1]
            if at == len(times):
                return values[-1]
            # Between two points it grows evenly.
            within = (seconds - before) / (times[at] - before)
            return values[at - 1] + within * (values[at] - values[at - 1])
        # Beyond what was seen: as much again for each doubling of the time as for the last one.
        whole, half = values[-1], self._at(times, values, last / 2, most=most)
        return min(most, whole + (whole - half) * log2(seconds / last))


def _ages_of(cohorts: Sequence[Cohort]) -> Iterable[float]:
    """Return which shares of the entries are in the classes of age, told from those that were chosen last."""
    counts = [0] * _CLASSES
    for cohort in reversed(cohorts):
        counts = [count + more for count, more in zip(counts, cohort.chosen, strict=True)]
        if sum(counts) >= _TYPICAL:
            break
    whole = sum(counts)
    return [count / whole if whole else 0.0 for count in counts]


def _concave(times: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Return the corners of the least concave line above some points."""
    corners: list[tuple[float, float]] = []
    for time, value in zip(times, values, strict=True):
        while len(corners) > 1:
            (first, low), (second, high) = corners[-2:]
            if (high - low) * (time - second) > (value - high) * (second - first):
                break
            corners.pop()
        corners.append((time, value))
    return [time for time, _ in corners], [value for _, value in corners]
