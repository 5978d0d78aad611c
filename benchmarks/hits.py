"""Hits: memoized functions, coroutine functions, and keys."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

from benchmarks.adapters import Adapter, load
from benchmarks.harness import Contestant, Sample, arace, race
from benchmarks.report import Section, Target, ratio, time_table
from benchmarks.settings import Plan

SIZE = 10_000
TTL = 300.0


def f(x: int) -> int:
    return x


def g(name: str, number: int, *, kw: int = 0) -> int:
    return number


async def af(x: int) -> int:
    return x


CALLS = {"f": (f, "fn(7)"), "g": (g, 'fn("chapter", 7, kw=3)')}


def _contestants(adapters: list[Adapter], which: str) -> list[Contestant]:
    func, call = CALLS[which]
    rows = [Contestant("bare call", func, call)]
    for adapter in adapters:
        if adapter.memo is not None:
            rows.append(Contestant(adapter.name, adapter.memo(func, SIZE, TTL), call))
            if adapter.name == "cenote":
                rows.append(Contestant("cenote without TTL", adapter.memo(func, SIZE, None), call))
    return rows


def _ahead(
    samples: dict[str, Sample], what: str, ours: str = "cenote", skip: tuple[str, ...] = ("bare call",)
) -> list[str]:
    mine = samples[ours].median
    return [
        f"{what}: {name} takes {sample.median / mine:.2f} of our time"
        for name, sample in samples.items()
        if sample.median < mine and name not in skip and not name.startswith("cenote")
    ]


def memoize(plan: Plan) -> Section:
    """Hits of memoized functions."""
    adapters, missing = load()
    section = Section(
        "memoize",
        "A hit of a memoized function",
        notes=[
            (
                f"f(int) is f(7); g(str, int, kw=) is g('chapter', 7, kw=3). {SIZE:,} entries at most, a TTL of "
                f"{TTL:g} s. cachebox and cachetools keep 1, 1.0 and True under one key here, as their decorators do "
                "when nothing is said; cenote tells them apart."
            )
        ],
        missing=missing,
    )
    for which, limit in (("f", 0.55), ("g", 0.45)):
        samples = race(_contestants(adapters, which), rounds=plan.rounds, seconds=plan.seconds)
        title = {"f": "f(int)", "g": "g(str, int, kw=)"}[which]
        section.tables.append(time_table(samples, "cachebox", title))
        section.targets.append(Target(f"hit of {title} / cachebox", limit, ratio(samples, "cenote", "cachebox")))
        section.losses += _ahead(samples, title)
    return section


def coroutines(plan: Plan) -> Section:
    """Hits of memoized coroutine functions."""
    adapters, missing = load()
    rows = [Contestant("bare await", af, "fn(7)")]
    rows += [Contestant(a.name, a.amemo(af, SIZE, TTL), "fn(7)") for a in adapters if a.amemo is not None]
    samples = asyncio.run(arace(rows, rounds=plan.rounds, seconds=plan.seconds))
    return Section(
        "async",
        "A hit of a memoized coroutine function",
        notes=["await af(7) in one running task; nothing waits."],
        tables=[time_table(samples, "cachebox", "af(int)")],
        targets=[Target("hit of af(int), awaited / cachebox", 0.55, ratio(samples, "cenote", "cachebox"))],
        losses=_ahead(samples, "af(int)", skip=("bare await",)),
        missing=missing,
    )


def keys(plan: Plan) -> Section:
    """Hits and writes by key."""
    adapters, missing = load()
    stores = [(a.name, a.store(SIZE, TTL)) for a in adapters if a.store is not None]
    names = [f"key-{number}" for number in range(1000)]
    for _, store in stores:
        for name in names:
            store.set(name, 1)
    gets = race([Contestant(n, s.get, "fn('key-7')") for n, s in stores], rounds=plan.rounds, seconds=plan.seconds)
    absent = race([Contestant(n, s.get, "fn('none')") for n, s in stores], rounds=plan.rounds, seconds=plan.seconds)
    again = race([Contestant(n, s.set, "fn('key-7', 1)") for n, s in stores], rounds=plan.rounds, seconds=plan.seconds)
    return Section(
        "keys",
        "get and set by key",
        notes=[
            "1,000 entries in each; `get` of a key that is there, `get` of one that is not, `set` of one that is there."
        ],
        tables=[
            time_table(gets, "cachetools", "get, hit"),
            time_table(absent, "cachetools", "get, miss"),
            time_table(again, "cachetools", "set, overwriting"),
        ],
        targets=[Target("hit of get / cachetools.TTLCache.get", 0.35, ratio(gets, "cenote", "cachetools"))],
        losses=[*_ahead(gets, "get, hit"), *_ahead(absent, "get, miss"), *_ahead(again, "set, overwriting")],
        missing=missing,
    )


def misses(plan: Plan) -> Section:
    """Misses: a load that costs nothing, and what the library adds."""
    adapters, missing = load()
    rounds = max(7, plan.rounds // 4)

    def rows(make: str, func: Any, bare: str) -> list[Contestant]:
        found = [Contestant(bare, func, "fn(next_())", {"next_": count().__next__})]
        for adapter in adapters:
            maker = getattr(adapter, make)
            if maker is not None:
                memo = maker(func, SIZE, TTL)
                found.append(Contestant(adapter.name, memo, "fn(next_())", {"next_": count().__next__}))
        return found

    sync = race(rows("memo", f, "bare call"), rounds=rounds, seconds=2 * plan.seconds)
    coro = asyncio.run(arace(rows("amemo", af, "bare await"), rounds=rounds, seconds=2 * plan.seconds))
    return Section(
        "misses",
        "A miss: load and store, evicting where there is a limit",
        notes=[
            (
                f"Each call has a new argument; caches of {SIZE:,} entries, full after the first rounds. dogpile.cache "
                "and aiocache have no limit in memory. A miss here registers a flight that others can join and that a "
                "clear detaches; lru_cache and the two without locks do not."
            )
        ],
        tables=[time_table(sync, "cachebox", "f(new int)"), time_table(coro, "cachebox", "await af(new int)")],
        losses=[*_ahead(sync, "miss of f"), *_ahead(coro, "miss of af", skip=("bare await",))],
        missing=missing,
    )
