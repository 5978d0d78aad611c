"""Meters: what a process counts that belongs to no single cache, for itself and for the sums over all processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product
from typing import Final, Self

__all__ = [
    "BOUNDS",
    "CLEAR_KINDS",
    "LEVELS",
    "SUMMED_WORDS",
    "WORDS",
    "Durations",
    "Meter",
    "Meters",
]

BOUNDS: Final = (
    *(float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2.5, 5)),
    10.0,
)
"""Upper bounds of the buckets of durations, in seconds."""

LEVELS: Final = ("none", "process", "machine", "network")
"""The guarantees that a clear may reach."""

CLEAR_KINDS: Final = tuple(product(LEVELS, ("success", "error")))
"""Level and result of clears."""

_EACH: Final = len(BOUNDS) + 2
"""Words of a histogram: its buckets, one more without a bound, and nanoseconds."""


class Meter(IntEnum):
    """The words that hold the meters of a process."""

    CALLS = 0
    CALL_FAILURES = 1
    LAPSED = 2
    WAITS = 8
    CLEARS = WAITS + _EACH
    BREAKERS = CLEARS + len(CLEAR_KINDS) * _EACH
    """What follows is of living processes only."""

    OWED = BREAKERS + 1


SUMMED_WORDS: Final = int(Meter.BREAKERS)
"""How many words outlive their process."""

WORDS: Final = 192
"""How many words there is room for."""


@dataclass(slots=True)
class Durations:
    """A histogram of durations; whoever counts sees to it that only one does at a time.

    Attributes:
        counts: For each bound, how many took that long at most, and longer than the bound before; last, how many took
            longer than all.
        nanoseconds: What they took together.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    nanoseconds: int = 0

    def note(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.nanoseconds += int(seconds * 1e9)

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts)

    @property
    def seconds(self) -> float:
        """What they took together."""
        return self.nanoseconds / 1e9

    def words(self) -> list[int]:
        """Return it as whole numbers."""
        return [*self.counts, self.nanoseconds]

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        """Return what was written as whole numbers."""
        return cls(list(words[:-1]), words[-1])


@dataclass(slots=True, kw_only=True)
class Meters:
    """What processes did for all caches of a manager together.

    Attributes:
        calls: Round trips to the server.
        call_failures: How many of them failed.
        lapsed: How often a clear waited for a machine until its lease had ended.
        waits: How long clears waited for other machines to acknowledge them.
        clears: How long clears took, by level and result.
        breakers: Processes that take the server for out of reach.
        owed: Invalidations that could not be written at the server yet.
    """

    calls: int = 0
    call_failures: int = 0
    lapsed: int = 0
    waits: Durations = field(default_factory=Durations)
    clears: Mapping[tuple[str, str], Durations] = field(
        default_factory=lambda: {kind: Durations() for kind in CLEAR_KINDS}
    )
    breakers: int = 0
    owed: int = 0

    def words(self) -> list[int]:
        """Return them as whole numbers, for the others."""
        found = [0] * WORDS
        found[Meter.CALLS] = self.calls
        found[Meter.CALL_FAILURES] = self.call_failures
        found[Meter.LAPSED] = self.lapsed
        found[Meter.WAITS : Meter.WAITS + _EACH] = self.waits.words()
        for at, kind in zip(_places(), CLEAR_KINDS, strict=True):
            found[at : at + _EACH] = self.clears[kind].words()
        found[Meter.BREAKERS] = self.breakers
        found[Meter.OWED] = self.owed
        return found

    @classmethod
    def of(cls, words: Sequence[int]) -> Self:
        """Return what was written as whole numbers."""
        return cls(
            calls=words[Meter.CALLS],
            call_failures=words[Meter.CALL_FAILURES],
            lapsed=words[Meter.LAPSED],
            waits=Durations.of(words[Meter.WAITS : Meter.WAITS + _EACH]),
            clears={
                kind: Durations.of(words[at : at + _EACH]) for at, kind in zip(_places(), CLEAR_KINDS, strict=True)
            },
            breakers=words[Meter.BREAKERS],
            owed=words[Meter.OWED],
        )


def _places() -> Iterable[int]:
    return range(Meter.CLEARS, Meter.BREAKERS, _EACH)
