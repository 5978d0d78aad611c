"""Forecasts: how far they are from what a clear costs; previews: how long they take, and readers wait meanwhile."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

from benchmarks.child import ChildFailedError, run
from benchmarks.predictions import errors, measure, rows
from benchmarks.report import Section, Target
from benchmarks.settings import Plan, usable_cores
from benchmarks.traces import CREDIT, TracesMissingError, trace_paths

SHARES: Final = (0.25, 0.5, 1.0)
WATCHED_SECONDS: Final = 11.0
REST_SECONDS: Final = 0.03
WAIT_SECONDS: Final = 0.001
PARTS: Final[dict[str, dict[str, Any]]] = {
    "all of it": {},
    "all of it, softly": {"mode": "soft"},
    "a prefix of a tenth": {"prefix": "chapter:1"},
}
ERRORS: Final = ("seconds of loading again", "seconds until 90 % of the hits are back", "seconds until 95 %")


def forecasts(plan: Plan) -> Section:
    """Forecasts of clears, and previews of a large cache."""
    section = Section("forecasts", "Forecasts and previews of clears")
    for part in (_predictions, _previews):
        try:
            part(plan, section)
        except (TracesMissingError, ChildFailedError) as error:
            section.missing.append(f"{part.__name__.strip('_')}: {error}")
    return section


def _predictions(plan: Plan, section: Section) -> None:
    paths = trace_paths(plan.traces)
    clears, requests = (1, 30_000) if plan.quick else (15, 500_000)
    asked = [(path, share) for share in SHARES for path in paths]
    # The replays have clocks of their own: they may run side by side.
    with ProcessPoolExecutor(min(usable_cores(), len(asked)), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(measure, *zip(*asked, strict=True), [clears] * len(asked), [requests] * len(asked)))
    groups = {
        f"{share:g} of the keys": [
            each for (_, of), some in zip(asked, found, strict=True) if of == share for each in some
        ]
        for share in SHARES
    }
    section.notes.append(
        f"Each of {len(paths)} recorded traces is replayed without a clear and {clears} times with one, through caches "
        "for a quarter, half and all of its keys; benchmarks/predictions.py says how. Medians; an error is relative to "
        f"what came. {CREDIT}"
    )
    section.tables.append(rows(groups, "cache"))
    every = [each for group in groups.values() for each in group]
    for what, value in zip(ERRORS, errors(every), strict=True):
        section.targets.append(Target(f"median error of a forecast: {what}", 20, value, " %"))


class Reader:
    """A thread that reads one key after the other, and notes when it waited for longer than a millisecond."""

    def __init__(self, cache: Any, entries: int) -> None:
        self.waits: list[tuple[float, float]] = []
        self._get = cache.get
        self._keys = [f"chapter:{number * 7919 % entries}" for number in range(20_000)]
        self._running = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        clock, get = time.perf_counter, self._get
        while self._running:
            for key in self._keys:
                begin = clock()
                get(key)
                end = clock()
                if end - begin > WAIT_SECONDS:
                    self.waits.append((begin, end))

    def longest(self, begin: float, end: float) -> float:
        """Return the longest wait that overlaps a span."""
        return max([last - first for first, last in list(self.waits) if last >= begin and first <= end], default=0.0)

    def stop(self) -> None:
        self._running = False
        self._thread.join()


def preview(entries: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Preview clears of a cache that one thread reads.

    Returns:
        For each part of the cache, and for an idle thread instead of a preview: how long it took, and the longest wait
        of the reader meanwhile, in seconds, for each round.
    """
    from cenote import CacheManager

    with CacheManager() as caches:
        cache = caches.service("large", max_entries=entries)
        for number in range(entries):
            cache.set(f"chapter:{number}", number)
        gc.collect()
        gc.freeze()
        caches.watch()
        reader = Reader(cache, entries)
        try:
            time.sleep(WATCHED_SECONDS)
            spans: dict[str, list[tuple[float, float]]] = {name: [] for name in (*PARTS, "nothing")}
            for _ in range(rounds):
                for name, within in spans.items():
                    begin = time.perf_counter()
                    if name in PARTS:
                        caches.preview("large", **PARTS[name])
                    else:
                        time.sleep(statistics.median(last - first for first, last in spans["all of it"]))
                    within.append((begin, time.perf_counter()))
                    time.sleep(REST_SECONDS)
        finally:
            reader.stop()
    return {
        name: {"took": [last - first for first, last in within], "wait": [reader.longest(*span) for span in within]}
        for name, within in spans.items()
    }


def _previews(plan: Plan, section: Section) -> None:
    entries, rounds = plan.entries, 5 if plan.quick else 60
    found = run(__name__, "preview", entries, rounds)
    section.notes.append(
        f"A preview of {entries:,} entries, with a forecast, beside one thread that reads without pause; {rounds} "
        "rounds, and beside an idle thread for as long, to tell what the machine does by itself."
    )
    table = [["preview, ms", "median", "longest", "longest wait of the reader, median", "of all"]]
    for name, by in found.items():
        figures = [value for each in (by["took"], by["wait"]) for value in (statistics.median(each), max(each))]
        table.append([name, *(f"{1000 * value:.1f}" for value in figures)])
    section.tables.append(table)
    every = [by for name, by in found.items() if name in PARTS]
    took, waits = ([value for by in every for value in by[which]] for which in ("took", "wait"))
    section.targets += [
        Target(f"preview of a cache of {entries:,} entries, median", 50, 1000 * statistics.median(took), " ms"),
        Target("longest wait of a reader beside a preview, median", 5, 1000 * statistics.median(waits), " ms"),
        Target(f"longest wait of a reader beside {len(waits)} previews", 5, 1000 * max(waits), " ms"),
    ]
