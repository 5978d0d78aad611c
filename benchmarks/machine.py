"""The machine reach: hits beside those of one process, a store that processes share beside diskcache, and how fast a
clear is seen elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.child import start
from benchmarks.harness import Contestant, Sample, each, no_collection, race
from benchmarks.report import Section, Target, time_table
from benchmarks.settings import ROOT, Plan, usable_cores

TTL = 3600.0
VALUE = "x" * 100
SPINS = 300


def f(x: int) -> int:
    return x


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A directory of one's own, gone at the end."""
    path = tempfile.mkdtemp(prefix="bench-machine-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _managers(stack: contextlib.ExitStack) -> dict[str, Any]:
    from cenote import CacheManager

    urls = {"memory://": "memory://"}
    for scheme in ("memory", "lmdb"):
        urls[f"{scheme}:///dir"] = f"{scheme}://{stack.enter_context(folder())}"
    return {name: stack.enter_context(CacheManager(url)) for name, url in urls.items()}


def machine(plan: Plan) -> Section:
    """Near hits, shared gets and sets, clears, their visibility, and readers side by side."""
    section = Section(
        "machine",
        "Processes of one machine",
        notes=[
            (
                "A near hit is from the memory of the process, with the look at the shared head. A shared get finds "
                "no copy in memory and reads the store; each key is read once. Values are texts of 100 characters with "
                "a TTL. diskcache keeps its defaults."
            ),
            "The clear is called in one process, and another one spins on the head of the log.",
        ],
    )
    with contextlib.ExitStack() as stack:
        _near(plan, section, _managers(stack))
    _shared(plan, section)
    _visibility(section)
    _scaling(plan, section)
    return section


def _near(plan: Plan, section: Section, managers: dict[str, Any]) -> None:
    contestants = []
    for name, manager in managers.items():
        memo = manager.service("s", ttl=TTL).memoize(name="f")(f)
        memo(7)
        contestants.append(Contestant(name, memo, "fn(7)"))
    samples = race(contestants, rounds=plan.rounds, seconds=plan.seconds)
    section.tables.append(time_table(samples, "memory://", "near hit of f(int) with TTL"))
    base = samples["memory://"].median
    for name in ("memory:///dir", "lmdb:///dir"):
        section.targets.append(Target(f"near hit on {name} / on memory://", 1.35, samples[name].median / base))


def _shared(plan: Plan, section: Section) -> None:
    try:
        import diskcache
    except ImportError as error:
        section.missing.append(f"diskcache cannot be imported ({error}); `make bench` installs it")
        return
    from cenote import CacheManager

    keys = [f"chapter:{number}" for number in range(1000 if plan.quick else 4000)]
    rounds = 3 if plan.quick else 9
    names = ("cenote", "diskcache")
    sets, gets = ({name: Sample() for name in names} for _ in range(2))
    with contextlib.ExitStack() as stack:
        url = f"lmdb://{stack.enter_context(folder())}"
        writer = stack.enter_context(CacheManager(url)).service("s", ttl=TTL)
        disk = stack.enter_context(diskcache.Cache(stack.enter_context(folder())))
        with no_collection():
            for turn in range(rounds):
                reader = CacheManager(url)
                near = reader.service("s", ttl=TTL)
                sets["cenote"].times.append(each(keys, lambda key: writer.set(key, VALUE)))
                sets["diskcache"].times.append(each(keys, lambda key: disk.set(key, VALUE, expire=TTL)))
                gets["cenote"].times.append(each(keys, near.get))
                gets["diskcache"].times.append(each(keys, disk.get))
                reader.close()
                keys = [f"chapter:{turn}:{number}" for number in range(len(keys))]
        clears = _clears(plan, url, writer, disk)
    for what, samples, limit in (("get", gets, 0.4), ("set", sets, 0.25)):
        section.tables.append(time_table(samples, "diskcache", f"shared {what}"))
        value = samples["cenote"].median / samples["diskcache"].median
        section.targets.append(Target(f"shared {what} on lmdb:/// / diskcache", limit, value))
    rows = [["clear of 100,000 entries", "median ms"]]
    rows += [[name, f"{1000 * statistics.median(times):.2f}"] for name, times in clears.items()]
    section.tables.append(rows)
    value = statistics.median(clears["cenote"]) / statistics.median(clears["diskcache"])
    section.targets.append(Target("clear of 100,000 on lmdb:/// / diskcache", 0.02, value))


def _clears(plan: Plan, url: str, cache: Any, disk: Any) -> dict[str, list[float]]:
    entries = 10_000 if plan.quick else 100_000
    found: dict[str, list[float]] = {"cenote": [], "diskcache": []}
    for _ in range(plan.clears):
        with disk.transact():
            for number in range(entries):
                disk.set(f"k{number}", VALUE, expire=TTL)
        for number in range(entries):
            cache.set(f"k{number}", VALUE)
        for name, clear in (("cenote", lambda: cache.clear(max_items=0)), ("diskcache", disk.clear)):
            begin = time.perf_counter()
            clear()
            found[name].append(time.perf_counter() - begin)
    return found


def spin(url: str) -> list[tuple[int, int]]:
    """Spin on the head of a log and note each one seen, and when, in nanoseconds of the machine's clock."""
    from cenote import CacheManager

    with CacheManager(url) as manager:
        word = manager._log.word  # noqa: SLF001  # a read without anything around it is what is timed
        assert word is not None
        clock = time.monotonic_ns
        seen: list[tuple[int, int]] = []
        last = word[0]
        final = last + SPINS
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        while last < final:
            head = word[0]
            if head != last:
                seen.append((head, clock()))
                last = head
        return seen


def _visibility(section: Section) -> None:
    from cenote import CacheManager
    from cenote.invalidation.log import Record, RecordKind

    if usable_cores() < 2:
        section.missing.append("visibility needs two cores")
        return
    with folder() as path, CacheManager(f"memory://{path}") as manager:
        manager.clear()
        spinner = start("benchmarks.machine", "spin", f"memory://{path}")
        assert spinner.stderr is not None
        spinner.stderr.readline()
        log, sent = manager._log, dict[int, int]()  # noqa: SLF001  # the store of the head is where the time begins
        original = log._raise_head  # noqa: SLF001  # the same

        def raise_head(joined: Any, sequence: int) -> None:
            original(joined, sequence)
            sent[sequence] = time.monotonic_ns()

        log._raise_head = raise_head  # noqa: SLF001  # the same
        for _ in range(SPINS):
            log.append(Record(kind=RecordKind.CLEAR, cache=None))
            time.sleep(0.002)
        out, _ = spinner.communicate(timeout=60)
    seen = json.loads(out.splitlines()[-1])
    # One that was overtaken while the spinning process had no core was not seen at all.
    delays = [max(0, there - sent[head]) for head, there in seen]
    median = statistics.median(delays) / 1000
    late = sorted(delays)[int(0.99 * len(delays))] / 1000
    section.tables.append(
        [
            ["a clear seen by a spinning process", "median us", "99th percentile us"],
            ["", f"{median:.2f}", f"{late:.1f}"],
        ]
    )
    section.targets.append(Target("clear seen after the append, median", 5, median, " us"))


def read(url: str, seconds: float) -> float:
    """Make near hits for a while and return how many a second."""
    from cenote import CacheManager

    with CacheManager(url) as manager:
        memo = manager.service("s", ttl=TTL).memoize(name="f")(f)
        memo(7)
        sys.stderr.write("ready\n")
        sys.stderr.flush()
        sys.stdin.readline()
        done = 0
        begin = time.perf_counter()
        end = begin + seconds
        while time.perf_counter() < end:
            for _ in range(500):
                memo(7)
            done += 500
        return done / (time.perf_counter() - begin)


def _rate(url: str, processes: int, seconds: float) -> float:
    arguments = json.dumps([url, seconds])
    command = [sys.executable, "-m", "benchmarks.child", "benchmarks.machine", "read", arguments]
    children = [
        subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(processes)
    ]
    for child in children:
        assert child.stderr is not None
        child.stderr.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(os.linesep)
        child.stdin.flush()
    return sum(json.loads(child.communicate(timeout=60)[0].splitlines()[-1]) for child in children)


def _scaling(plan: Plan, section: Section) -> None:
    seconds = 0.3 if plan.quick else 1.0
    rates: dict[int, list[float]] = {1: [], 2: [], 4: []}
    with folder() as path:
        for _ in range(2 if plan.quick else 5):
            for processes, found in rates.items():
                found.append(_rate(f"memory://{path}", processes, seconds))
    medians = {processes: statistics.median(found) for processes, found in rates.items()}
    rows = [["near hits of f(int), million/s", *[f"{number} process{'es' * (number > 1)}" for number in rates]]]
    rows.append(["memory:///dir", *[f"{median / 1e6:.2f}" for median in medians.values()]])
    section.tables.append(rows)
    value = medians[4] / medians[1] if usable_cores() >= 2 else None
    section.targets.append(Target("4 processes / 1 process, hits a second", 1.8, value, at_least=True))
