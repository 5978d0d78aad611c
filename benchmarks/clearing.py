"""Clears: how long one of many entries takes, and how long another thread stands still while they are freed."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.adapters import Adapter, load, named
from benchmarks.child import ChildFailedError, run
from benchmarks.memory import _resident
from benchmarks.report import Section, Target
from benchmarks.settings import Plan

TTL = 3600.0
ROUNDS_OF_GARBAGE = 20
SMALLEST_WINDOW = 0.3
DICT_BYTES = 2400


class Probe:
    """A thread that looks at the clock all the time and notes the longest it could not."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._running = True
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        clock = time.perf_counter
        longest = 0.0
        before = clock()
        while self._running:
            now = clock()
            if now - before > longest:  # noqa: PLR1730  # a call would take longer than what is measured
                longest = now - before
            before = now
        self.longest = longest

    def start(self) -> None:
        self._thread.start()
        time.sleep(0.02)

    def stop(self) -> float:
        self._running = False
        self._thread.join()
        return self.longest


def _backlog() -> int:
    from cenote.keeper import keeper

    return keeper.backlog


def _values(kind: str) -> Any:
    if kind == "dicts":
        numbers = range(50)
        return lambda number: dict.fromkeys(numbers, number)
    return lambda number: number


def stall(name: str, kind: str, entries: int, ttl: float | None) -> dict[str, float]:
    """Fill a cache, clear it beside a probe, and let the same probe run beside an idle thread as long.

    Returns:
        Seconds: clear (until it returned), free (until all was freed), stall and idle (the probe's longest gaps),
        collect (a full garbage collection over the full cache).
    """
    adapter = named(name)
    assert adapter is not None
    assert adapter.store is not None
    gc.disable()
    store = adapter.store(entries, ttl)
    value = _values(kind)
    for number in range(entries):
        store.set(f"key-{number}", value(number))
    begin = time.perf_counter()
    gc.collect()
    collect = time.perf_counter() - begin
    ours = name == "cenote"
    probe = Probe()
    probe.start()
    begin = time.perf_counter()
    store.clear()
    took = time.perf_counter() - begin
    while ours and _backlog():
        time.sleep(0.005)
    free = time.perf_counter() - begin
    time.sleep(max(0.05, SMALLEST_WINDOW - free))
    longest = probe.stop()
    idle = Probe()
    idle.start()
    time.sleep(max(SMALLEST_WINDOW, free))
    return {"clear": took, "free": free, "stall": longest, "idle": idle.stop(), "collect": collect}


def alone(name: str, entries: int, rounds: int) -> list[float]:
    """Return the seconds that clears took with no other thread at work."""
    adapter = named(name)
    assert adapter is not None
    assert adapter.store is not None
    gc.disable()
    store = adapter.store(entries, TTL)
    times = []
    for _ in range(rounds):
        for number in range(entries):
            store.set(f"key-{number}", number)
        begin = time.perf_counter()
        store.clear()
        times.append(time.perf_counter() - begin)
        while name == "cenote" and _backlog():
            time.sleep(0.005)
    return times


def garbage(entries: int, rounds: int) -> dict[str, list[float]]:
    """Fill and clear again and again without a pause; return backlog and resident megabytes after each clear."""
    adapter = named("cenote")
    assert adapter is not None
    assert adapter.store is not None
    store = adapter.store(entries, TTL)
    backlogs: list[float] = []
    resident: list[float] = []
    for _ in range(rounds):
        for number in range(entries):
            store.set(f"key-{number}", number)
        store.clear()
        backlogs.append(_backlog())
        resident.append(_resident() / 1e6)
    return {"backlog": backlogs, "resident": resident}


def _room(entries: int, bytes_each: int) -> int:
    """How many entries of so many bytes fit into half of the free memory."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return min(entries, 200_000)
    return entries if entries * bytes_each < free / 2 else 200_000


def _milliseconds(values: list[float]) -> str:
    return f"{statistics.median(values) * 1000:.2f}"


def _span(values: list[float]) -> str:
    return f"{min(values) * 1000:.2f} .. {max(values) * 1000:.2f}"


def _row(section: Section, adapter: Adapter, kind: str, entries: int, rounds: int) -> tuple[list[str], float] | None:
    try:
        found = [run(__name__, "stall", adapter.name, kind, entries, TTL) for _ in range(rounds)]
    except ChildFailedError as error:
        section.missing.append(f"{adapter.name}, {kind}: {error}")
        return None
    by = {key: [one[key] for one in found] for key in found[0]}
    excess = (statistics.median(by["stall"]) - statistics.median(by["idle"])) * 1000
    row = [f"{adapter.name}, {kind}", str(rounds), _milliseconds(by["clear"]), _milliseconds(by["free"])]
    row += [_milliseconds(by["stall"]), _span(by["stall"]), _milliseconds(by["idle"]), f"{excess:.2f}"]
    return [*row, f"{statistics.median(by['collect']) * 1000:.0f}"], excess


def clearing(plan: Plan) -> Section:
    """Clears of large caches."""
    adapters, missing = load()
    entries = plan.entries
    section = Section(
        "clear",
        f"Clearing {entries:,} entries",
        notes=[
            (
                "Each round is a process of its own. A probe thread reads the clock without pause and notes its "
                "longest gap: beside the clear until everything is freed, then as long beside an idle thread. Beside "
                "a busy thread the clear's own time includes the wait for the GIL, up to the switch interval; 'alone' "
                "is without one. The collector is off but for one full collection before the clear, timed in the last "
                "column: that pause meets every thread, whoever triggers it."
            )
        ],
        missing=missing,
    )
    stores = [a for a in adapters if a.store is not None and a.fast and a.name in ("cenote", "cachebox", "cachetools")]
    rows = [["clear alone, ms", "rounds", "median", "span"]]
    for adapter in stores:
        rounds = 3 if adapter.name == "cenote" else 1
        times = run(__name__, "alone", adapter.name, entries, rounds)
        rows.append([adapter.name, str(rounds), _milliseconds(times), _span(times)])
        if adapter.name == "cenote":
            median = statistics.median(times) * 1000
            section.targets.append(Target(f"clear() of {entries:,} entries returns", 1.0, median, " ms"))
    section.tables.append(rows)
    rows = [
        ["beside a probe thread, ms", "rounds", "clear", "all freed", "stall", "span", "idle", "excess", "collection"]
    ]
    for kind in ("ints", "dicts"):
        room = entries if kind == "ints" else _room(entries, DICT_BYTES)
        for adapter in stores:
            rounds = plan.clears if adapter.name == "cenote" else 1
            found = _row(section, adapter, kind, room, rounds)
            if found is None:
                continue
            rows.append(found[0])
            if adapter.name == "cenote":
                what = f"stall of another thread beside a clear of {room:,} {kind}, excess"
                section.targets.append(Target(what, 5.0, found[1], " ms"))
    section.tables.append(rows)
    count = 100_000 if not plan.quick else 50_000
    found = run(__name__, "garbage", count, ROUNDS_OF_GARBAGE)
    backlog, resident = found["backlog"], found["resident"]
    section.notes.append(
        f"Garbage: after each of {ROUNDS_OF_GARBAGE} rounds of filling and clearing {count:,} entries without a pause, "
        f"{max(backlog):,.0f} entries at most waited to be freed; resident memory was {resident[0]:.0f} MB after the "
        f"first round, {max(resident):.0f} MB at most and {resident[-1]:.0f} MB after the last."
    )
    from cenote.keeper import ASSIST_ABOVE

    section.targets.append(
        Target("entries that wait to be freed under repeated clears", ASSIST_ABOVE + 2 * count, max(backlog))
    )
    return section
