"""Predictions: what a clear was expected to cost, and what it cost, in replays of recorded accesses.

The traces are the work of headissue GmbH, Jens Wilke, used under CC BY 4.0; they are no part of this repository. They
have no times, so accesses come at a constant rate that makes each trace half an hour long. How long a key takes to load
is drawn from a fixed distribution by the key: log-normal, with a median of 10 ms and a long tail.

Each trace is replayed without a clear, and again with one at a random moment; both runs are watched as a server watches
its caches. What the clear cost is compared with the run without it: the load times that there are more, and the hits
that there are fewer. It is over when the hits, but for chance, are back at 90 percent of those that the run without a
clear has in the same seconds. The minute before the clear would not do: in these traces the hit rate without any clear
falls below 90 percent of it again and again. What is not over within the ten minutes that a forecast looks ahead counts
as ten minutes.

    python -m benchmarks.predictions [--traces FOLDER] [--clears N] [--share S] [--eviction sieve] [--markdown]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.report import text_table
from benchmarks.traces import CREDIT, TRACES, TracesMissingError, read_trace, trace_paths
from cenote import CacheManager
from cenote.forecast import Forecast, forecast, recovered
from cenote.probing import Probes
from cenote.rereads import HORIZON, step_ends

SECONDS: Final = 1800.0
WINDOW: Final = 60.0
REQUESTS: Final = 500_000
FIRST: Final = 600.0
LAST: Final = SECONDS - HORIZON


class ReplayClock:
    """A clock that the replay moves; loads take time without holding up what comes next."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.loading = 0.0

    def monotonic(self) -> float:
        return self.now + self.loading

    def time(self) -> float:
        return self.now


@dataclass(frozen=True)
class Outcome:
    """One clear: what was expected, and what came.

    Attributes:
        moment: When it was, in seconds.
        expected: The forecast.
        reload_seconds: What it cost.
        seconds_to_90: When the hits were back at 90 percent of those without a clear; None where they were not.
        seconds_to_95: The same for 95 percent.
    """

    moment: float
    expected: Forecast
    reload_seconds: float
    seconds_to_90: float | None
    seconds_to_95: float | None


@dataclass
class Run:
    """A replay: hits and load time at every request, summed up."""

    hits: list[int]
    load_seconds: list[float]
    expected: Forecast | None = None


def cost_of(key: int) -> float:
    """Return the seconds that a key takes to load."""
    return min(random.Random(key).lognormvariate(-4.6, 1.0), 5.0)


def replay(
    keys: Sequence[int],
    rate: float,
    capacity: int,
    costs: dict[int, float],
    cleared_at: int | None,
    eviction: Literal["s3fifo", "sieve"] = "s3fifo",
) -> Run:
    """Replay a trace through a cache that is watched.

    Args:
        keys: The accesses.
        rate: How many there are in a second.
        capacity: Entries of the cache.
        costs: Seconds that each key takes to load.
        cleared_at: Before which access to clear; None: never.
        eviction: The cache's policy.
    """
    clock = ReplayClock()
    run = Run([], [])
    hits = 0
    spent = 0.0
    with CacheManager(clock=clock) as caches:
        cache = caches.service("replay", max_entries=capacity, eviction=eviction)
        probes = Probes(cache._core, random.Random(1))  # noqa: SLF001  # as the manager's thread does
        due = 0.0
        for number, key in enumerate(keys):
            clock.now = 1000.0 + number / rate
            if clock.now >= due:
                due = probes.step() or float("inf")
            if number == cleared_at:
                window = int(WINDOW * rate)
                lately = hits - run.hits[number - window]
                run.expected = forecast(
                    probes.count(),
                    entries=len(cache),
                    reads_per_second=rate,
                    hit_rate=100 * lately / window,
                )
                cache.clear()
            name = str(key)
            if cache.get(name) is not None:
                hits += 1
            else:
                cost = costs[key]

                def load(cost: float = cost) -> bool:
                    clock.loading = cost
                    return True

                cache.get_or_load(name, load)
                clock.loading = 0.0
                spent += cost
            run.hits.append(hits)
            run.load_seconds.append(spent)
    return run


def name_of(path: Path) -> str:
    """Return what a trace is called."""
    return path.name.removesuffix(".trace.xz")


def measure(
    path: Path, share: float, clears: int, requests: int, eviction: Literal["s3fifo", "sieve"] = "s3fifo"
) -> list[Outcome]:
    """Replay one trace with clears at random moments."""
    keys = read_trace(path, requests)
    distinct = set(keys)
    costs = {key: cost_of(key) for key in distinct}
    capacity = max(16, int(share * len(distinct)))
    rate = len(keys) / SECONDS
    whole = replay(keys, rate, capacity, costs, None, eviction)
    dice = random.Random(path.name)
    outcomes = []
    for _ in range(clears):
        moment = dice.uniform(FIRST, LAST)
        at = int(moment * rate)
        run = replay(keys[: at + int(HORIZON * rate) + 1], rate, capacity, costs, at, eviction)
        assert run.expected is not None
        last = min(len(run.hits), at + int(HORIZON * rate)) - 1
        extra = (run.load_seconds[last] - run.load_seconds[at - 1]) - (
            whole.load_seconds[last] - whole.load_seconds[at - 1]
        )
        back = [recovery(run, whole, at, rate, percent) for percent in (90.0, 95.0)]
        outcomes.append(Outcome(moment, run.expected, extra, *back))
    return outcomes


def recovery(run: Run, whole: Run, at: int, rate: float, percent: float) -> float | None:
    """Return when the hits, but for chance, were back at a percentage of those without a clear."""
    first, curve, reference = at, [], []
    for end in step_ends():
        last = min(at + int(end * rate), len(run.hits) - 1)
        hits, usual = (each.hits[last - 1] - each.hits[first - 1] for each in (run, whole))
        curve.append((end, 100 * hits / usual if usual else None))
        reference.append(float(usual))
        first = last
    return recovered(curve, percent, reference)


def error(expected: float | None, actual: float | None) -> float | None:
    """Return by which part of what came the expectation was off; None where neither came within the horizon."""
    if expected is None and actual is None:
        return None
    expected, actual = (HORIZON if each is None else each for each in (expected, actual))
    return abs(expected - actual) / actual if actual else float(expected != actual)


def errors(outcomes: Sequence[Outcome]) -> list[float | None]:
    """Return the median errors of the cost, and of the time until 90 and until 95 percent, each in percent."""
    found = [
        [error(each.expected.reload_seconds, each.reload_seconds) for each in outcomes],
        [error(each.expected.seconds_to_90, each.seconds_to_90) for each in outcomes],
        [error(each.expected.seconds_to_95, each.seconds_to_95) for each in outcomes],
    ]
    compared = [[each for each in some if each is not None] for some in found]
    return [100 * statistics.median(some) if some else None for some in compared]


def rows(groups: Mapping[str, Sequence[Outcome]], first: str) -> list[list[str]]:
    """Make a table with a line for each group, and one for all of them."""
    lines = [
        [first, "clears", "cost error", "90 % error", "95 % error", "cost s", "expected s", "90 % s", "expected s"]
    ]
    for name, group in {**groups, "all": [each for some in groups.values() for each in some]}.items():
        times = (
            [each.reload_seconds for each in group],
            [each.expected.reload_seconds for each in group],
            [each.seconds_to_90 for each in group],
            [each.expected.seconds_to_90 for each in group],
        )
        lines.append(
            [
                name,
                str(len(group)),
                *("-" if each is None else f"{each:.1f} %" for each in errors(group)),
                *(f"{statistics.median(HORIZON if one is None else one for one in each):.1f}" for each in times),
            ]
        )
    return lines


def main() -> int:
    """Print the errors; the exit code is 2 when there are no traces."""
    parser = argparse.ArgumentParser(description="What clears were expected to cost, and what they cost.")
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of *.trace.xz files")
    parser.add_argument("--clears", type=int, default=15, help="clears of each trace")
    parser.add_argument("--share", type=float, default=0.25, help="entries of the cache, as a share of the objects")
    parser.add_argument("--eviction", choices=("s3fifo", "sieve"), default="s3fifo", help="the cache's policy")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="accesses replayed of each trace at most")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args()
    try:
        paths = trace_paths(options.traces)
    except TracesMissingError as missing:
        print(f"predictions: {missing}", file=sys.stderr)
        return 2
    groups = {
        name_of(path): measure(path, options.share, options.clears, options.requests, options.eviction)
        for path in paths
    }
    print(text_table(rows(groups, "trace"), markdown=options.markdown))
    print(f"\nMedians; the error is relative to what came. {CREDIT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
