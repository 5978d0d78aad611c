"""Recovery: how a cache's hit rate comes back behind a clear, beside what was expected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from cenote.forecast import Forecast, forecast, recovered
from cenote.history import Recent
from cenote.register import ClearNote
from cenote.rereads import Rereads, step_ends
from cenote.stats import CacheStats

__all__ = ["WATCHED_SECONDS", "Baseline", "Recovery", "together", "why_unknown"]

WATCHED_SECONDS: Final = 15.0
"""How long entries must have been watched before anything is told from them, unless all were read again sooner."""

_NOT_READ: Final = "nothing was read in the last minute"
_ENDS: Final = step_ends()
_SLIGHTLY: Final = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What one cache did just before a clear, as far as a forecast needs it.

    Attributes:
        rereads: How soon its entries are read again; None where that was not seen.
        entries: How many entries the clear takes.
        recent: What the cache did in the last minute.
        rate: The most loads in a second, where they are paced.
        blind: Why nothing was seen, where that is so.
        behind: Whether reloads happen behind stale copies, for which no caller waits: those of a soft clear, with
            ``stale_while_revalidate``.
    """

    rereads: Rereads | None
    entries: int
    recent: Recent
    rate: float | None = None
    blind: str = "its entries are not watched"
    behind: bool = False

    @property
    def reads_per_second(self) -> float:
        """Reads a second."""
        return self.recent.reads / self.recent.seconds if self.recent.seconds else 0.0

    def unknown(self) -> str | None:
        """Return why nothing can be said of it; None where something can."""
        rereads = self.rereads
        if not self.recent.reads:
            return _NOT_READ
        if rereads is None or not rereads.sightings:
            return self.blind
        seen, reach = rereads.share(rereads.reach), rereads.reach
        if seen < 1 - _SLIGHTLY and reach < WATCHED_SECONDS:
            return f"its entries were watched for {reach:.0f} seconds, and {WATCHED_SECONDS:.0f} are the least"
        if self.recent.hits and not seen:
            return f"of {rereads.sightings} entries that were watched none was read again within {reach:.0f} seconds"
        return None

    def forecast(self) -> Forecast | None:
        """Say what the clear will cost; None where too little was seen to say so."""
        if self.rereads is None or self.unknown() is not None:
            return None
        hit_rate = 100 * self.recent.hits / self.recent.reads
        found = forecast(
            self.rereads,
            entries=self.entries,
            reads_per_second=self.reads_per_second,
            hit_rate=hit_rate,
            rate=self.rate,
        )
        if not self.behind:
            return found
        # What is stale is served, and counted as a hit.
        flat = tuple((end, found.hit_rate_before) for end, _ in found.curve)
        return replace(found, seconds_to_90=0.0, seconds_to_95=0.0, curve=flat)


def why_unknown(baselines: list[Baseline]) -> str:
    """Return why nothing can be said of a clear of some caches: what is so of the one that is read most."""
    busiest = max(baselines, key=lambda each: each.recent.reads, default=None)
    return (busiest and busiest.unknown()) or _NOT_READ


def together(baselines: list[Baseline]) -> Forecast | None:
    """Say what a clear of several caches will cost; None where too little was seen of any."""
    found = [(each, each.forecast()) for each in baselines if each.recent.reads]
    known = [(each, forecast) for each, forecast in found if forecast is not None]
    if not known:
        return None
    whole = _sum_of(known)
    if len(known) == len(found):
        return whole
    others = f"{len(found) - len(known)} more that are read are not in it: nothing is known of them yet"
    return replace(whole, confidence="poor", basis=f"{whole.basis}; {others}")


def _sum_of(known: list[tuple[Baseline, Forecast]]) -> Forecast:
    if len(known) == 1:
        return known[0][1]
    reads = [each.reads_per_second for each, _ in known]
    whole = sum(reads)

    def mean(rates: list[float]) -> float:
        return round(sum(rate * share for rate, share in zip(rates, reads, strict=True)) / whole, 2)

    before = mean([found.hit_rate_before for _, found in known])
    curve = tuple((end, mean([found.curve[step][1] for _, found in known])) for step, end in enumerate(_ENDS))
    order: list[Literal["good", "fair", "poor"]] = ["poor", "fair", "good"]
    worst = min((found.confidence for _, found in known), key=order.index)
    return Forecast(
        hit_rate_before=before,
        reloads=round(sum(found.reloads for _, found in known), 1),
        reload_seconds=round(sum(found.reload_seconds for _, found in known), 6),
        seconds_to_90=recovered(curve, 0.9 * before),
        seconds_to_95=recovered(curve, 0.95 * before),
        curve=tuple((round(end, 3), rate) for end, rate in curve),
        peak_loads_per_second=round(sum(found.peak_loads_per_second for _, found in known), 3),
        confidence=worst,
        basis=f"the sum of {len(known)} caches, {known[0][1].basis}",
    )


class Recovery:
    """What came of one clear; one thread looks now and then.

    Attributes:
        note: The clear.
        baselines: What the caches did before it.
        before: What they had counted, summed up, when it began.
        points: What they had counted at the end of each step: seconds since the clear, and the figures.
    """

    def __init__(self, note: ClearNote, baselines: list[Baseline], before: CacheStats) -> None:
        """Begin to watch, before the clear."""
        self.note = note
        self.baselines = baselines
        self.before = before
        self.points: list[tuple[float, CacheStats]] = []
        self._expected: Forecast | None = None
        self._known = False

    @property
    def expected(self) -> Forecast | None:
        """What was expected; None where nothing was seen beforehand."""
        if not self._known:
            self._expected, self._known = together(self.baselines), True
        return self._expected

    @property
    def over(self) -> bool:
        """Whether it was watched as long as a forecast looks ahead."""
        return len(self.points) >= len(_ENDS)

    @property
    def due(self) -> float:
        """When to look again, in monotonic seconds; infinite when it is over."""
        return float("inf") if self.over else self.note.began + _ENDS[len(self.points)]

    def look(self, now: float, stats: CacheStats) -> None:
        """Note what was counted until now."""
        since = now - self.note.began
        while not self.over and _ENDS[len(self.points)] <= since:
            self.points.append((since, stats))

    def curve(self) -> list[tuple[float, float | None]]:
        """Return when each step ended, and its hit rate in percent; None where nothing was read."""
        return [(end, rate) for end, rate, _ in self._steps()]

    def _steps(self) -> list[tuple[float, float | None, float]]:
        found = []
        last = self.before
        for end, stats in self.points:
            reads, hits = stats.reads - last.reads, stats.hits - last.hits
            found.append((round(end, 3), round(100 * hits / reads, 2) if reads > 0 else None, float(max(0, reads))))
            last = stats
        return found

    @property
    def hit_rate_before(self) -> float | None:
        """Percent of the reads that were served in the minute before."""
        reads = sum(each.recent.reads for each in self.baselines)
        return round(100 * sum(each.recent.hits for each in self.baselines) / reads, 2) if reads else None

    def seconds_to(self, share: float) -> float | None:
        """Return when the hit rate was back at a share of what it was; None while it is not."""
        before = self.hit_rate_before
        steps = self._steps()
        if before is None:
            return None
        return recovered([(end, rate) for end, rate, _ in steps], share * before, [reads for _, _, reads in steps])

    @property
    def stale_served(self) -> int:
        """How many reads since the clear were served something stale, as behind a soft one."""
        return max(0, self.points[-1][1].stale_served - self.before.stale_served) if self.points else 0

    @property
    def reloads(self) -> int:
        """Loads since the clear beyond those that there would have been, as in the minute before."""
        usual = sum(each.recent.loads / each.recent.seconds for each in self.baselines if each.recent.seconds)
        if not self.points:
            return 0
        since, stats = self.points[-1]
        return max(0, round(stats.loads - self.before.loads - usual * since))

    @property
    def reload_seconds(self) -> float:
        """What those took together."""
        usual = sum(each.recent.load_seconds / each.recent.seconds for each in self.baselines if each.recent.seconds)
        if not self.points:
            return 0.0
        since, stats = self.points[-1]
        return max(0.0, stats.load_seconds - self.before.load_seconds - usual * since)
