"""Forecasts: what a clear will cost, told from how soon entries are read again.

Pure. From a random moment on, a cache's entries are read again one after the other; behind a clear each of these first
reads is a load. So the share of entries that were read again within a time, counted over entries chosen at random, is
the share that will have been loaded so long after a clear, whatever the distribution of the reads. What left before it
was read again would have been loaded without the clear too, and is not counted. Observations that ended early, because
they began a short while ago, are made use of as by Kaplan and Meier, "Nonparametric Estimation from Incomplete
Observations", 1958.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from typing import Final, Literal

__all__ = ["HORIZON", "STEPS", "Forecast", "Rereads", "Sighting", "forecast", "recovered", "step_ends"]

HORIZON: Final = 600.0
"""Seconds that a forecast looks ahead."""

STEPS: Final = 60
"""Points of a curve."""

_FEW: Final = 100
_MANY: Final = 500


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of one entry that was chosen at random.

    Attributes:
        cost: Seconds that its load took.
        read: Seconds until it was read again; None where it was not.
        watched: Seconds that it was watched for; infinite where it left before it was read.
    """

    cost: float
    read: float | None
    watched: float


class Rereads:
    """How many of a cache's entries are read again within a time, and what loading those takes.

    Attributes:
        sightings: How many entries it was told from.
        reach: The longest that one was watched for, in seconds; what lies beyond is a guess.
    """

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        """Count what was seen."""
        self.sightings = len(sightings)
        ended = [each.watched for each in sightings if each.read is None and each.watched != float("inf")]
        reads = [each.read for each in sightings if each.read is not None]
        self.reach = max([*ended, *reads], default=0.0)
        self._times: list[float] = [0.0]
        self._shares: list[float] = [0.0]
        self._costs: list[float] = [0.0]
        events = sorted(
            (each.watched if each.read is None else each.read, each.read is None, each.cost) for each in sightings
        )
        left = len(events)
        unread, share, cost = 1.0, 0.0, 0.0
        for time, is_end, seconds in events:
            if not is_end:
                step = unread / left
                unread -= step
                share += step
                cost += step * seconds
                if time == self._times[-1]:
                    self._shares[-1], self._costs[-1] = share, cost
                else:
                    self._times.append(time)
                    self._shares.append(share)
                    self._costs.append(cost)
            left -= 1
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
        if seconds <= self.reach or self.reach <= 0:
            at = bisect_right(times, seconds)
            before = times[at - 1]
            if at == len(times):
                return values[-1]
            # Between two sightings it grows evenly.
            within = (seconds - before) / (times[at] - before)
            return values[at - 1] + within * (values[at] - values[at - 1])
        # Beyond what was seen: as much again for each doubling of the time as for the last one.
        whole, half = values[-1], self._at(times, values, self.reach / 2, most=most)
        return min(most, whole + (whole - half) * log2(seconds / self.reach))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a clear is expected to cost.

    Attributes:
        hit_rate_before: Percent of the reads that are served now.
        reloads: Loads within the horizon that there would not be without the clear.
        reload_seconds: What they take together.
        seconds_to_90: Until the hit rate is 90 percent of what it is now; None: not within the horizon.
        seconds_to_95: Until it is 95 percent of that.
        curve: Seconds since the clear and the hit rate of the step that ends then, in percent.
        peak_loads_per_second: The most loads in a second; right behind the clear.
        confidence: "good", "fair" or "poor".
        basis: What it rests on, in one sentence.
    """

    hit_rate_before: float
    reloads: float
    reload_seconds: float
    seconds_to_90: float | None
    seconds_to_95: float | None
    curve: tuple[tuple[float, float], ...]
    peak_loads_per_second: float
    confidence: Literal["good", "fair", "poor"]
    basis: str


def step_ends(horizon: float = HORIZON, steps: int = STEPS) -> list[float]:
    """Return when the steps of a curve end: short ones first, each a little longer than the one before."""
    growth = 1.05
    first = horizon * (growth - 1) / (growth**steps - 1)
    ends, end = [], 0.0
    for step in range(steps):
        end += first * growth**step
        ends.append(end)
    return ends


def forecast(
    rereads: Rereads,
    *,
    entries: float,
    reads_per_second: float,
    hit_rate: float,
    share: float = 1.0,
    rate: float | None = None,
    horizon: float = HORIZON,
) -> Forecast:
    """Say what a clear will cost.

    Args:
        rereads: How soon entries are read again.
        entries: How many entries it takes.
        reads_per_second: Reads of the whole cache.
        hit_rate: Percent of them that are served now.
        share: Which share of the sightings were of entries that it takes.
        rate: The most loads in a second, where they are paced.
        horizon: Seconds to look ahead.
    """
    before = hit_rate / 100
    ends = step_ends(horizon)
    curve, waiting, last_end, last = [], 0.0, 0.0, 0.0
    peak = 0.0
    for end in ends:
        due = entries * rereads.trend(end)
        wanted = due - last + waiting
        loaded = wanted if rate is None else min(wanted, rate * (end - last_end))
        # What has to wait is missed again by whoever asks meanwhile.
        again = wanted - loaded
        missed = (loaded + again + (again * reads_per_second * (end - last_end) / max(entries, 1))) if again else loaded
        reads = reads_per_second * (end - last_end)
        hits = max(0.0, before * reads - missed)
        curve.append((round(end, 3), round(100 * hits / reads, 2) if reads else 0.0))
        peak = max(peak, loaded / (end - last_end))
        waiting, last, last_end = again, due, end
    confidence: Literal["good", "fair", "poor"] = "good"
    if rereads.sightings * share < _FEW or rereads.reach < horizon / 20:
        confidence = "poor"
    elif rereads.sightings * share < _MANY or rereads.reach < horizon / 4:
        confidence = "fair"
    return Forecast(
        hit_rate_before=round(hit_rate, 2),
        reloads=round(entries * rereads.share(horizon), 1),
        reload_seconds=round(entries * rereads.cost(horizon), 6),
        seconds_to_90=recovered(curve, 0.9 * hit_rate),
        seconds_to_95=recovered(curve, 0.95 * hit_rate),
        curve=tuple(curve),
        peak_loads_per_second=round(peak, 3),
        confidence=confidence,
        basis=(
            f"told from {rereads.sightings} entries of this process, chosen at random and watched for up to "
            f"{rereads.reach:.0f} seconds"
        ),
    )


def recovered(
    curve: Sequence[tuple[float, float | None]], rate: float, reads: Sequence[float] | None = None
) -> float | None:
    """Return when a hit rate that only rises, but for chance, comes to a percentage.

    Steps that chance has put in the wrong order are taken together first (the pool of adjacent violators: Ayer,
    Brunk, Ewing, Reid and Silverman, 1955).

    Args:
        curve: When each step ends, and its hit rate in percent; None where nothing was read.
        rate: The percentage.
        reads: How many reads each step had, for its weight; the same for all where not given.

    Returns:
        Seconds, evenly between the ends of steps; None where it does not come to it.
    """
    blocks: list[list[float]] = []
    for number, (end, found) in enumerate(curve):
        weight = 1.0 if reads is None else reads[number]
        if found is None or weight <= 0:
            continue
        blocks.append([end, found, weight])
        while len(blocks) > 1 and blocks[-2][1] >= blocks[-1][1]:
            last = blocks.pop()
            before = blocks[-1]
            mean = (before[1] * before[2] + last[1] * last[2]) / (before[2] + last[2])
            blocks[-1] = [last[0], mean, before[2] + last[2]]
    before_end, before_rate = 0.0, 0.0
    for end, found, _ in blocks:
        if found >= rate:
            within = 1.0 if found <= before_rate else (rate - before_rate) / (found - before_rate)
            return round(before_end + max(0.0, min(1.0, within)) * (end - before_end), 3)
        before_end, before_rate = end, found
    return None


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
