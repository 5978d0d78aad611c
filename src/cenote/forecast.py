"""Forecasts: what a clear will cost, told from how soon entries are read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cenote.rereads import HORIZON, Rereads, step_ends

__all__ = ["Forecast", "forecast", "recovered"]

_FEW: Final = 100
_MANY: Final = 500


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
    peak = saved = 0.0
    full = rereads.room is None
    for end in ends:
        due = entries * rereads.trend(end)
        if rereads.room is not None and not full:
            saved = rereads.room.saved(end)
            full = due + (1 - before) * reads_per_second * end - saved >= entries
        due -= saved
        wanted = due - last + waiting
        loaded = wanted if rate is None else min(wanted, rate * (end - last_end))
        # What has to wait is missed again by whoever asks meanwhile.
        again = wanted - loaded
        missed = (loaded + again + (again * reads_per_second * (end - last_end) / max(entries, 1))) if again else loaded
        reads = reads_per_second * (end - last_end)
        hits = min(reads, max(0.0, before * reads - missed))
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
    Brunk, Ewing, Reid and Silverman, 1955). What was found over a while is the hit rate in its middle.

    Args:
        curve: When each step ends, and its hit rate in percent; None where nothing was read.
        rate: The percentage.
        reads: How many reads each step had, for its weight; the same for all where not given.

    Returns:
        Seconds, evenly between the middles; None where it does not come to it.
    """
    blocks: list[list[float]] = []
    begin = 0.0
    for number, (end, found) in enumerate(curve):
        weight = 1.0 if reads is None else reads[number]
        if found is None or weight <= 0:
            continue
        blocks.append([begin, end, found, weight])
        begin = end
        while len(blocks) > 1 and blocks[-2][2] >= blocks[-1][2]:
            last = blocks.pop()
            before = blocks[-1]
            whole = before[3] + last[3]
            blocks[-1] = [before[0], last[1], (before[2] * before[3] + last[2] * last[3]) / whole, whole]
    before_at, before_rate = 0.0, 0.0
    for begin, end, found, _ in blocks:
        at = (begin + end) / 2
        if found >= rate:
            within = 1.0 if found <= before_rate else (rate - before_rate) / (found - before_rate)
            return round(before_at + max(0.0, min(1.0, within)) * (at - before_at), 3)
        before_at, before_rate = at, found
    return None
