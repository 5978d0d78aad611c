"""Threads: how many hits a second several of them make together."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

from benchmarks.adapters import load
from benchmarks.hits import SIZE, TTL, f
from benchmarks.report import Section
from benchmarks.settings import Plan

COUNTS = (1, 2, 4)
CHUNK = 500


def _rate(func: Any, threads: int, seconds: float) -> float:
    """Return hits a second of all threads together."""
    func(7)
    totals: list[int] = []
    barrier = threading.Barrier(threads + 1)
    begin = 0.0

    def work() -> None:
        done = 0
        barrier.wait()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for _ in range(CHUNK):
                func(7)
            done += CHUNK
        totals.append(done)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    begin = time.perf_counter()
    for worker in workers:
        worker.join()
    return sum(totals) / (time.perf_counter() - begin)


def threads(plan: Plan) -> Section:
    """Hits of f(int) from 1, 2 and 4 threads."""
    adapters, missing = load()
    memos = {}
    for adapter in adapters:
        if adapter.memo is not None and adapter.fast:
            memos[adapter.name] = adapter.memo(f, SIZE, TTL)
        if adapter.store is not None and adapter.name in ("cenote", "cachetools with a lock"):
            store = adapter.store(SIZE, TTL)
            store.set(7, 1) if adapter.name != "cenote" else store.set("7", 1)
            memos[f"{adapter.name}, get"] = store.get if adapter.name != "cenote" else _texted(store.get)
    rounds = 3 if plan.quick else 7
    rates: dict[str, dict[int, list[float]]] = {name: {number: [] for number in COUNTS} for name in memos}
    for _ in range(rounds):
        for number in COUNTS:
            for name, memo in memos.items():
                rates[name][number].append(_rate(memo, number, 0.05 if plan.quick else 0.1))
    rows = [["f(7), million hits/s", *[f"{number} thread{'s' * (number > 1)}" for number in COUNTS], "4 / 1"]]
    for name, by_number in rates.items():
        medians = [statistics.median(by_number[number]) for number in COUNTS]
        rows.append([name, *[f"{median / 1e6:.2f}" for median in medians], f"{medians[-1] / medians[0]:.2f}"])
    return Section(
        "threads",
        "Hits from several threads",
        notes=["Under the GIL threads share one core; what counts is that the rate does not fall."],
        tables=[rows],
        missing=missing,
    )


def _texted(get: Any) -> Any:
    def call(_number: int) -> Any:
        return get("7")

    return call
