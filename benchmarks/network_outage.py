"""Reads while the server is away: killed, or silent, as a stopped process is."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks.child import ChildFailedError
from benchmarks.report import Section, Target
from benchmarks.server import Site, site
from benchmarks.settings import Plan

PATIENCE = 20.0


def outage(plan: Plan, section: Section) -> None:
    """Reads that load because nobody answers."""
    count = 500 if plan.quick else 5000
    rows = [["reads of absent keys, us", "reads", "median", "99th percentile", "longest"]]
    for how in ("killed", "silent"):
        with site() as machines:
            for name, times in _away(machines, how, count).items():
                late = sorted(times)[int(0.99 * len(times))]
                figures = [f"{1e6 * value:.0f}" for value in (statistics.median(times), late, max(times))]
                rows.append([f"{name}, server {how}", str(count), *figures])
                section.targets.append(Target(f"{name}, server {how}, 99th percentile", 1000, 1e6 * late, " us"))
    section.tables.append(rows)
    section.notes.append(
        "Where the server is away, reads are of keys that nobody has, and loaders return at once; they begin when the "
        "first read has found out, and meanwhile the server is asked again once a second, in the background."
    )


def _away(machines: Site, how: str, count: int) -> dict[str, list[float]]:
    from cenote import CacheManager

    with CacheManager(machines.url("away")) as manager:
        cache = manager.service("away")
        cache.get_or_load("before", str)
        if how == "killed":
            machines.server.kill()
        else:
            os.kill(machines.server.pid, signal.SIGSTOP)
        try:
            _await_end_of_lease(manager, cache)
            found = {
                "get_or_load": _each(lambda name: cache.get_or_load(name, str), count),
                "aget_or_load": asyncio.run(_aeach(lambda name: cache.aget_or_load(name, str), count)),
            }
        finally:
            if how == "silent":
                os.kill(machines.server.pid, signal.SIGCONT)
    return found


def _await_end_of_lease(manager: Any, cache: Any) -> None:
    end = time.monotonic() + PATIENCE
    while manager._log.holds_lease:  # noqa: SLF001  # what a lease is based on is not public
        if time.monotonic() > end:
            raise ChildFailedError("the lease does not end though the server is away")
        time.sleep(0.01)
    cache.get_or_load("after", str)


def _each(call: Callable[[str], Any], count: int) -> list[float]:
    times = []
    for number in range(count):
        begin = time.perf_counter()
        call(f"absent:{number}")
        times.append(time.perf_counter() - begin)
    return times


async def _aeach(call: Callable[[str], Any], count: int) -> list[float]:
    times = []
    for number in range(count):
        begin = time.perf_counter()
        await call(f"absent too:{number}")
        times.append(time.perf_counter() - begin)
    return times
