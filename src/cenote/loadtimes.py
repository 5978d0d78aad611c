"""Load times: how long loads took, counted in buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, Final

__all__ = ["BUCKETS", "NO_LOADS", "LoadTimes", "bucket_of"]

_BOUNDS: Final = (*(float(f"{digit}e{power}") for power in range(-4, 2) for digit in (1, 2, 5)), 100.0)

BUCKETS: Final = len(_BOUNDS) + 1
"""How many buckets there are, the last one without an upper bound."""

_SHORTEST: Final = 1e-5
"""What the first bucket is taken to begin with, in seconds."""


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that counts a load of so many seconds."""
    return bisect_left(_BOUNDS, seconds)


@dataclass(frozen=True, slots=True)
class LoadTimes:
    """A histogram of load times; two of them can be added and subtracted.

    Attributes:
        counts: How many loads fell into each bucket. Bucket ``i`` counts those that took at most ``BOUNDS[i]`` seconds
            and more than ``BOUNDS[i - 1]``; the last one counts those that took longer than all bounds.
    """

    BOUNDS: ClassVar[tuple[float, ...]] = _BOUNDS
    """The upper bounds in seconds, 1, 2 and 5 of each power of ten."""

    counts: tuple[int, ...] = (0,) * BUCKETS

    @classmethod
    def of(cls, counts: Sequence[int]) -> LoadTimes:
        """Make one from counts that may still change."""
        return cls(tuple(counts))

    def __add__(self, other: LoadTimes) -> LoadTimes:
        return LoadTimes(tuple(map(int.__add__, self.counts, other.counts)))

    def __sub__(self, other: LoadTimes) -> LoadTimes:
        return LoadTimes(tuple(max(0, ours - theirs) for ours, theirs in zip(self.counts, other.counts, strict=True)))

    @property
    def total(self) -> int:
        """How many loads were counted."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """Return the seconds that this share of the loads stayed within; None where there was no load.

        Within a bucket loads are taken to be spread evenly on a logarithmic scale.

        Args:
            share: From 0 to 1; 0.5 is the median.
        """
        total = self.total
        if not total:
            return None
        wanted = share * total
        for bucket, upto in enumerate(accumulate(self.counts)):
            if upto >= wanted and self.counts[bucket]:
                break
        if bucket == len(_BOUNDS):
            return _BOUNDS[-1]
        low = _BOUNDS[bucket - 1] if bucket else _SHORTEST
        within = max(0.0, 1 - (upto - wanted) / self.counts[bucket])
        return float(low * (_BOUNDS[bucket] / low) ** within)


NO_LOADS: Final = LoadTimes()
"""What nothing was loaded for."""
