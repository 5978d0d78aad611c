"""Memory: bytes that a cache adds to each key and value, each figure from a process of its own."""

from __future__ import annotations

import gc
import tracemalloc
from itertools import islice
from pathlib import Path

from benchmarks.adapters import load, named
from benchmarks.child import ChildFailedError, result, start
from benchmarks.report import Section, Target
from benchmarks.settings import Plan, usable_cores

TTL = 3600.0
FIRST = 1_000_000  # integers from here on are 28 or 32 bytes each and not shared
SLOW_ENTRIES = 50_000


def _resident() -> int:
    """Bytes of memory that this process has in use."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    import resource

    return int(fields[1]) * resource.getpagesize()


def measure(name: str, how: str, entries: int, ttl: float | None, counter: str) -> float | None:
    """Return the bytes an entry costs beyond its key and value objects, which exist before.

    Args:
        name: The adapter.
        how: "set", with text keys; or "memo", with one integer as argument.
        entries: How many to store.
        ttl: Seconds, or None.
        counter: "blocks" counts what is allocated, "resident" how the process grows.
    """
    adapter = named(name)
    if adapter is None:
        return None
    gc.disable()
    numbers = list(range(FIRST, FIRST + entries))
    if how == "set":
        if adapter.store is None:
            return None
        store = adapter.store(entries, ttl)
        arguments = [f"key-{number}" for number in numbers]
        put = store.set
        for key in ("one", "two"):
            put(key, 0)
        calls = zip(arguments, numbers, strict=True)
    else:
        if adapter.memo is None:
            return None
        put = adapter.memo(lambda x: x, entries, ttl)
        put(1)
        calls = zip(numbers, strict=True)
    if counter == "blocks":
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for call in islice(calls, entries):
            put(*call)
        return (tracemalloc.get_traced_memory()[0] - before) / entries
    before = _resident()
    for call in islice(calls, entries):
        put(*call)
    return (_resident() - before) / entries


def memory(plan: Plan) -> Section:
    """Bytes of an untagged entry."""
    adapters, missing = load()
    section = Section(
        "memory",
        "Memory of an entry",
        notes=[
            (
                "Bytes beyond the key and value objects, which exist before they are stored. 'set' stores text keys "
                "with integers; 'memo' calls a memoized f(int) with as many different arguments. Blocks: allocated "
                "bytes as tracemalloc counts them; resident: growth of the process, without it. Queues and expiry "
                "lists included."
            )
        ],
        missing=missing,
    )
    jobs = []
    for adapter in adapters:
        if adapter.name in ("diskcache (on disk)", "cachetools with a lock", "cachebox, no lock, no copies"):
            continue
        entries = plan.entries if adapter.fast else min(plan.entries, SLOW_ENTRIES)
        for how in ("set", "memo"):
            if (adapter.store if how == "set" else adapter.memo) is None:
                continue
            ttls = (TTL, None) if adapter.name == "cenote" else (None if "no TTL" in adapter.name else TTL,)
            jobs += [(adapter.name, how, entries, ttl) for ttl in ttls]
    rows = [["", "entries", "TTL", "blocks", "resident"]]
    asked = [(job, "blocks") for job in jobs if job[0] == "cenote" and job[3] is not None]
    asked += [(job, "resident") for job in jobs]
    found: dict[tuple[object, str], float | None] = {}
    width = min(usable_cores(), 2)
    for place in range(0, len(asked), width):
        batch = [(key, start(__name__, "measure", *key[0], key[1])) for key in asked[place : place + width]]
        for key, process in batch:
            try:
                found[key] = result(process)
            except ChildFailedError as error:
                section.missing.append(f"{key[0][0]}, {key[0][1]}: {error}")
    for job in jobs:
        name, how, entries, ttl = job
        blocks, resident = found.get((job, "blocks")), found.get((job, "resident"))
        if resident is None:
            continue
        counted = "-" if blocks is None else f"{blocks:.0f}"
        rows.append([f"{name}, {how}", f"{entries:,}", "yes" if ttl else "no", counted, f"{resident:.0f}"])
        if name == "cenote" and ttl:
            section.targets += [
                Target(f"bytes of an entry ({how}, TTL, {entries:,}), blocks", 300, blocks, " B"),
                Target(f"bytes of an entry ({how}, TTL, {entries:,}), resident", 300, resident, " B"),
            ]
        ours = found.get((("cenote", how, plan.entries, TTL), "resident"))
        if name != "cenote" and ours is not None and resident < ours:
            section.losses.append(f"{name}, {how}: {resident:.0f} bytes resident where ours are {ours:.0f}")
    section.tables.append(rows)
    return section
