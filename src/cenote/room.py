"""Room: the loads that a clear saves by the room it makes in a cache that evicts.

Pure. Until the cache is full again nothing is evicted, so a key that was asked for before, behind the clear, is still
there when it is asked for again; without the clear it would have been evicted in between, and loaded again. How often
that would have been is how often keys come back that were evicted a short while ago.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Returns", "Room"]


@dataclass(frozen=True, slots=True)
class Returns:
    """What an eviction policy has counted of keys that were evicted, and loaded again.

    Attributes:
        evicted: How many entries were evicted.
        reach: How many evictions back a key is remembered.
        lag: About how many evictions lie between the last read of an entry and its own.
        counts: How many keys came back, by the evictions in between, in equal parts of ``reach``.
    """

    evicted: int
    reach: int
    lag: int
    counts: tuple[int, ...]


class Room:
    """How many loads are saved while nothing is evicted."""

    def __init__(self, before: Returns, now: Returns, seconds: float) -> None:
        """Compare what was counted at two times.

        Args:
            before: What had been counted.
            now: What has been counted since, as well.
            seconds: How long that took.
        """
        self._found: list[tuple[float, float]] = []
        evicted = now.evicted - before.evicted
        if evicted <= 0 or seconds <= 0:
            return
        part = now.reach / len(now.counts)
        for number, (count, earlier) in enumerate(zip(now.counts, before.counts, strict=True)):
            if count > earlier:
                age = ((number + 0.5) * part + now.lag) * seconds / evicted
                self._found.append((age, (count - earlier) / seconds))

    def saved(self, seconds: float) -> float:
        """Return how many loads are saved within so many seconds of a clear, if the cache is not full before."""
        return sum(rate * (seconds - age) for age, rate in self._found if age < seconds)
