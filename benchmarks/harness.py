"""The harness: calls timed in interleaved rounds, with medians, quartiles and ratios to a named floor.

Every contestant is called once a round, A B C A B C, so that a slow moment of the machine meets all of them. A call is
written out ten times in a generated loop: what is measured is the call and a tenth of a loop's turn.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

UNROLLED = 10


@dataclass
class Sample:
    """What one contestant took, in seconds for each call.

    Attributes:
        times: One figure a round.
        operations: How many operations of the contestant one call makes.
    """

    times: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.times) < 2:
            return self.times[0], self.times[0]
        low, _, high = statistics.quantiles(self.times, n=4)
        return low, high


@dataclass(frozen=True)
class Contestant:
    """One way to do the job.

    Attributes:
        name: Its row.
        func: What is called, by the name ``fn`` in the call.
        call: The call as text, such as ``fn(7)``.
        more: Further names that the call uses.
    """

    name: str
    func: Any
    call: str
    more: dict[str, Any] = field(default_factory=dict)


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector out of what is timed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def timer(contestant: Contestant, *, is_async: bool = False) -> Callable[[int], Any]:
    """Generate ``run(n)``: it makes 10 n calls and returns the seconds that one took."""
    names = {"fn": contestant.func, "_clock": time.perf_counter, **contestant.more}
    parameters = ", ".join(f"{name}={name}" for name in names)
    line = f"        {'await ' if is_async else ''}{contestant.call}\n"
    source = (
        f"{'async ' if is_async else ''}def run(_turns, {parameters}):\n"
        "    _begin = _clock()\n"
        "    for _ in range(_turns):\n"
        f"{line * UNROLLED}"
        f"    return (_clock() - _begin) / _turns / {UNROLLED}\n"
    )
    exec(source, names)  # the text is this module's own
    return names["run"]


def each(keys: Sequence[Any], call: Callable[[Any], Any]) -> float:
    """Call with one key after the other, where a key must not come twice; return the seconds that one call took."""
    begin = time.perf_counter()
    for key in keys:
        call(key)
    return (time.perf_counter() - begin) / len(keys)


async def aeach(keys: Sequence[Any], call: Callable[[Any], Awaitable[Any]]) -> float:
    """Do the same with what is to be awaited."""
    begin = time.perf_counter()
    for key in keys:
        await call(key)
    return (time.perf_counter() - begin) / len(keys)


def turns_for(seconds: float, one: float) -> int:
    """How many turns of the loop fill so many seconds."""
    return max(1, int(seconds / max(one, 1e-9) / UNROLLED))


def race(contestants: list[Contestant], *, rounds: int, seconds: float = 0.002) -> dict[str, Sample]:
    """Time synchronous calls, interleaved.

    Args:
        contestants: Who takes part.
        rounds: How often each is timed.
        seconds: How long one timing lasts, roughly.
    """
    runs = {contestant.name: timer(contestant) for contestant in contestants}
    turns = {}
    for name, run in runs.items():
        run(20)
        turns[name] = turns_for(seconds, min(run(5) for _ in range(5)))
    samples = {name: Sample() for name in runs}
    with no_collection():
        for _ in range(rounds):
            for name, run in runs.items():
                samples[name].times.append(run(turns[name]))
    return samples


async def arace(contestants: list[Contestant], *, rounds: int, seconds: float = 0.002) -> dict[str, Sample]:
    """Time asynchronous calls, interleaved, each awaited in the one running task."""
    runs = {contestant.name: timer(contestant, is_async=True) for contestant in contestants}
    turns = {}
    for name, run in runs.items():
        await run(20)
        turns[name] = turns_for(seconds, min([await run(5) for _ in range(5)]))
    samples = {name: Sample() for name in runs}
    with no_collection():
        for _ in range(rounds):
            for name, run in runs.items():
                samples[name].times.append(await run(turns[name]))
    return samples
