"""Other libraries at the same server: reads and writes through it, and what their clears do and leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.adapters import Adapter, Remote, load
from benchmarks.child import ChildFailedError
from benchmarks.harness import Sample, aeach, each, no_collection
from benchmarks.report import Section, time_table
from benchmarks.server import Site, site
from benchmarks.settings import Plan

LIBRARIES = ("cenote", "cashews", "aiocache", "dogpile")
VALUE = "x" * 100
TTL = 3600
ENTRIES = 10_000
FOREIGN = 1000
BARE = "redis-py"


@dataclass(frozen=True)
class _Way:
    """One way to read and write."""

    get: Callable[[str], Any]
    set: Callable[[str, Any], Any]
    waits: bool


def peers(plan: Plan, section: Section) -> None:
    """The same jobs by other libraries."""
    adapters, missing = load(LIBRARIES)
    section.missing += missing
    section.notes.append(
        "Other libraries: each has a database of its own at one server, two caches of 10,000 entries, and 1,000 keys "
        "of another application beside them; all keep their defaults. A copy is a second client of the cache, as in "
        "another process (with Cenote, on another machine), that has read an entry before the clear: does it read it "
        "afterwards? Only Cenote keeps copies in memory here, so only its clear has others to wait for."
    )
    with site() as machines:
        gets, sets = asyncio.run(_used(plan, machines, adapters))
        section.tables.append(time_table(gets, BARE, "a hit through the server"))
        section.tables.append(time_table(sets, BARE, "a set"))
        rows = asyncio.run(_cleared(plan, machines, adapters))
    section.tables.append(
        [
            ["clear of 10,000 entries", "median ms", "films left", "others' keys left", "copy served", "what it does"],
            *rows,
        ]
    )
    for what, samples in (("a hit through the server", gets), ("a set", sets)):
        section.losses += [
            f"{what}: {name} takes {sample.median / samples['cenote'].median:.2f} of our time"
            for name, sample in samples.items()
            if sample.median < samples["cenote"].median and "redis" not in name
        ]


async def _used(plan: Plan, machines: Site, adapters: list[Adapter]) -> tuple[dict[str, Sample], dict[str, Sample]]:
    """Time sets of new keys and, later, one read of each."""
    import redis.asyncio

    rounds, size = (5, 100) if plan.quick else (15, 200)
    names = [f"chapter:{number}" for number in range(rounds * size)]
    client, waiting = machines.server.client, redis.asyncio.Redis.from_url(machines.server.url())
    ways = {
        BARE: _Way(client.get, lambda key, value: client.set(key, value, ex=TTL), waits=False),
        "redis.asyncio": _Way(waiting.get, lambda key, value: waiting.set(key, value, ex=TTL), waits=True),
    }
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(waiting.aclose)
        for number, adapter in enumerate(adapters):
            opened = await _open(stack, adapter, machines.server.url(number))
            ways[adapter.name] = _Way(opened.get, opened.set, opened.waits)
        gets, sets = ({name: Sample() for name in ways} for _ in range(2))
        for samples, reads in ((sets, False), (gets, True)):
            with no_collection():
                for turn in range(rounds):
                    for name, way in ways.items():
                        call = way.get if reads else (lambda key, put=way.set: put(key, VALUE))
                        keys = names[turn * size :][:size]
                        samples[name].times.append(await _timed(keys, call, waits=way.waits))
            if not reads:
                for name, way in ways.items():
                    await _expect(name, await _value(way.get(names[-1])))
    return gets, sets


async def _open(stack: contextlib.AsyncExitStack, adapter: Adapter, url: str) -> Remote:
    """Open a library's caches until the end of what is being done."""
    assert adapter.remote is not None
    opened = adapter.remote(url)

    async def close() -> None:
        await _value(opened.close())

    stack.push_async_callback(close)
    return opened


async def _value(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


async def _timed(keys: Sequence[str], call: Callable[[str], Any], *, waits: bool) -> float:
    return await aeach(keys, call) if waits else each(keys, call)


async def _expect(name: str, found: Any) -> None:
    if found not in (VALUE, VALUE.encode()):
        raise ChildFailedError(f"{name} reads {found!r} where a value was set")


async def _cleared(plan: Plan, machines: Site, adapters: list[Adapter]) -> list[list[str]]:
    """Time every way to clear one of two caches, interleaved, and look at what is left."""
    names = [f"chapter:{number}" for number in range(ENTRIES)]
    foreign = {f"theirs:{number}": VALUE for number in range(FOREIGN)}
    times: dict[tuple[str, str], list[float]] = {}
    rests: dict[tuple[str, str], list[str]] = {}
    async with contextlib.AsyncExitStack() as stack:
        opened = {}
        for number, adapter in enumerate(adapters):
            pair = [await _open(stack, adapter, machines.server.url(number)) for _ in range(2)]
            opened[adapter.name] = (number, *pair)
        for turn in range(plan.clears + 1):
            for name, (number, one, other) in opened.items():
                client = await _client(stack, machines, number)
                for way, (does, clear) in one.clears.items():
                    client.mset(foreign)
                    await _value(one.fill("films", names, VALUE))
                    await _value(one.fill("books", names, VALUE))
                    await _copied(name, other, names[-1])
                    begin = time.perf_counter()
                    await _value(clear())
                    took = time.perf_counter() - begin
                    if turn:  # the first connects, and finds a log that is new
                        times.setdefault((name, way), []).append(took)
                    served = await _value(other.get(names[-1])) == VALUE
                    films, theirs = await _value(one.count()), len(client.keys("theirs:*"))
                    rests[name, way] = [f"{films:,}", f"{theirs:,}", "yes" if served else "no", does]
    return [
        [f"{name} {way}", f"{1000 * statistics.median(found):.2f}", *rests[name, way]]
        for (name, way), found in times.items()
    ]


async def _client(stack: contextlib.AsyncExitStack, machines: Site, number: int) -> Any:
    import redis

    client = redis.Redis.from_url(machines.server.url(number))
    stack.callback(client.close)
    return client


async def _copied(name: str, other: Remote, key: str) -> None:
    """Read a key a few times through another client, until it is found."""
    end = time.monotonic() + 10
    seen = 0
    while seen < 3:
        seen += await _value(other.get(key)) == VALUE
        if time.monotonic() > end:
            raise ChildFailedError(f"{name} does not find through one client what another one stored")
