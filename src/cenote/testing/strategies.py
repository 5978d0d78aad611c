"""Strategies of the scheduler: who runs next, as a seed decides."""

from __future__ import annotations

from math import factorial
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MODES", "Strategy", "is_beyond", "make_strategy"]

MODES = ("mixed", "random", "every", "bounded", "systematic")


class Strategy(Protocol):
    """A rule that chooses among threads, given by their numbers."""

    def pick(self, current: int | None, ready: Sequence[int]) -> int:
        """Return who runs next.

        Args:
            current: Who runs now, one of ``ready``; None when the last one cannot go on.
            ready: Who could run, ascending and not empty.
        """
        ...


class _Random:
    """Switches at a point with a probability, to threads with weights, which all differ from seed to seed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._rate = rng.choice((1.0, 0.5, 0.2, 0.05))
        self._weights: dict[int, float] = {}

    def pick(self, current: int | None, ready: Sequence[int]) -> int:
        if current is not None and self._rng.random() >= self._rate:
            return current
        for number in ready:
            if number not in self._weights:
                self._weights[number] = 10 ** self._rng.uniform(-1.5, 0)
        return self._rng.choices(ready, [self._weights[number] for number in ready])[0]


class _Every:
    """Switches at every point when anybody else can run."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def pick(self, current: int | None, ready: Sequence[int]) -> int:
        others = [number for number in ready if number != current]
        return self._rng.choice(others or ready)


class _Bounded:
    """Runs the first in a random order of precedence, with few preemptions.

    After "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (Burckhardt et al., ASPLOS
    2010). The length of the run is not known beforehand, so the points of preemption come at geometric
    distances whose mean differs from seed to seed.
    """

    def __init__(self, rng: Random, preemptions: int) -> None:
        self._rng = rng
        self._left = preemptions
        self._rate = 10 ** -rng.uniform(0.5, 2.5)
        self._precedence: dict[int, float] = {}
        self._lowest = 0.0

    def pick(self, current: int | None, ready: Sequence[int]) -> int:
        for number in ready:
            if number not in self._precedence:
                self._precedence[number] = self._rng.random()
        if current is not None and self._left > 0 and self._rng.random() < self._rate:
            self._left -= 1
            self._lowest -= 1
            self._precedence[current] = self._lowest
        return max(ready, key=self._precedence.__getitem__)


class _Systematic:
    """Counts through all schedules with one preemption: every order of precedence with every point of it."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._order: list[int] = []
        self._left = 0
        self.orders = 1

    @property
    def beyond(self) -> bool:
        """Whether the run ended before its preemption was due."""
        return self._left >= 0

    def pick(self, current: int | None, ready: Sequence[int]) -> int:
        if not self._order:
            self._begin(list(ready))
        if current is not None:
            self._left -= 1
            if self._left == -1:
                self._order.remove(current)
                self._order.append(current)
        return next(number for number in self._order if number in ready)

    def _begin(self, numbers: list[int]) -> None:
        self.orders = factorial(len(numbers))
        self._left, rank = divmod(self._seed, self.orders)
        while numbers:
            index, rank = divmod(rank, factorial(len(numbers) - 1))
            self._order.append(numbers.pop(index))


def make_strategy(mode: str, seed: int, preemptions: int) -> Strategy:
    """Make the strategy of a mode.

    Args:
        mode: "random" switches at some points, "every" at all, "bounded" at few; "mixed" takes one of them,
            by the seed. "systematic" counts through all schedules with one preemption.
        seed: Decides everything.
        preemptions: How often "bounded" interrupts a thread that could go on.

    Raises:
        ValueError: If there is no such mode.
    """
    rng = Random(seed)  # noqa: S311  # not for secrets
    if mode == "mixed":
        mode = rng.choice(("random", "random", "bounded", "bounded", "every"))
    if mode == "random":
        return _Random(rng)
    if mode == "every":
        return _Every(rng)
    if mode == "bounded":
        return _Bounded(rng, preemptions)
    if mode == "systematic":
        return _Systematic(seed)
    msg = f"mode={mode!r}: it is one of {', '.join(MODES)}"
    raise ValueError(msg)


def is_beyond(strategy: Strategy) -> int:
    """Return how many seeds in a row must be beyond the end to know that all were; 0 if this one is not."""
    return strategy.orders if isinstance(strategy, _Systematic) and strategy.beyond else 0
