"""The network reach: hits beside those of one process, reads from the server beside bare redis-py, clears over several
machines, and the same jobs done by other libraries."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.child import ChildFailedError
from benchmarks.harness import Contestant, Sample, each, no_collection, race
from benchmarks.network_clears import clears
from benchmarks.network_outage import outage
from benchmarks.network_peers import peers
from benchmarks.report import Section, Target, ratio, time_table
from benchmarks.server import ServerMissingError, Site, fill, site
from benchmarks.settings import Plan

TTL = 3600.0
VALUE = "x" * 100
TASKS = 32
BARE = "redis-py GET"
ABARE = "redis.asyncio GET"


def network(plan: Plan) -> Section:
    """Near hits, reads from the server, reads of many tasks, clears, and other libraries."""
    section = Section(
        "network",
        "Machines that share a server",
        notes=[
            (
                "Each part starts a server of its own, without persistence, on loopback. A machine is a directory with "
                "an agent process; all of them run on this one machine, and its cores are all they have. Values are "
                "texts of 100 characters."
            ),
            (
                "A near hit is from the memory of the process, with the look at the shared head and at the lease. A "
                "shared get finds no copy in memory and reads the server; each key is read once, since a second read "
                "within a short while makes a copy. A bare GET is of the very bytes that the library keeps."
            ),
        ],
    )
    parts: list[Callable[[Plan, Section], None]] = [_reads, _tasks, clears, outage, peers]
    loads = [os.getloadavg()[0]]
    for part in parts:
        try:
            part(plan, section)
        except (ServerMissingError, ChildFailedError) as error:
            section.missing.append(f"{part.__name__.strip('_')}: {error}")
        loads.append(os.getloadavg()[0])
    section.notes.append(
        f"Load average over a minute, before and after each part: {', '.join(f'{load:.1f}' for load in loads)}."
    )
    return section


def _reads(plan: Plan, section: Section) -> None:
    with site() as machines:
        section.notes[0] += f" The server is {machines.server.title}."
        _near(plan, section, machines)
        _shared(plan, section, machines)


def _near(plan: Plan, section: Section, machines: Site) -> None:
    from cenote import CacheManager

    contestants = []
    with CacheManager() as alone, CacheManager(machines.url("near")) as shared:
        for name, ttl in (("default options", None), ("with TTL", TTL)):
            for scheme, manager in (("memory://", alone), ("redis://", shared)):
                options = {} if ttl is None else {"ttl": ttl}
                cache = manager.service(f"{scheme[:5]}-{ttl is None}", **options)
                cache.set("chapter:7", VALUE)
                _copied(cache, "chapter:7")
                contestants.append(Contestant(f"{scheme}, {name}", cache.get, "fn('chapter:7')"))
        samples = race(contestants, rounds=plan.rounds, seconds=plan.seconds)
    for name in ("default options", "with TTL"):
        ours, floor = f"redis://, {name}", f"memory://, {name}"
        pair = {key: samples[key] for key in (floor, ours)}
        section.tables.append(time_table(pair, floor, f"near hit of get, {name}"))
        section.targets.append(Target(f"near hit on redis:// / on memory://, {name}", 1.5, ratio(samples, ours, floor)))


def _copied(cache: Any, key: str) -> None:
    """Read a key until a copy of it is in memory."""
    end = time.monotonic() + 10
    while key not in cache._core.state.tables[0]:  # noqa: SLF001  # where copies are
        if cache.get(key) is None or time.monotonic() > end:
            raise ChildFailedError("the machine holds no lease, so nothing is copied into memory")


def _shared(plan: Plan, section: Section, machines: Site) -> None:
    import redis

    from cenote import CacheManager

    rounds, size = (7, 200) if plan.quick else (31, 300)
    names = [f"chapter:{number}" for number in range(rounds * size)]
    samples: dict[str, Sample] = {}

    def take(name: str, keys: Sequence[Any], call: Callable[[Any], Any]) -> None:
        samples.setdefault(name, Sample()).times.append(each(keys, call))

    with contextlib.ExitStack() as stack:
        manager, other = (stack.enter_context(CacheManager(machines.url(name))) for name in ("near", "other"))
        bare = stack.enter_context(redis.Redis.from_url(machines.server.url()))
        cache = manager.service("shared", ttl=TTL)
        raw = fill(machines.server.client, cache, names, VALUE)
        memo, loads = (on.service("f", ttl=TTL).memoize(name="f")(_value_of) for on in (manager, other))
        for number in range(len(names)):
            loads(number)
        # Now every value is older than the last record, which is all that a new machine knows of tags and prefixes.
        manager.service("more").set("last", VALUE)
        late = stack.enter_context(CacheManager(machines.url("late"))).service("shared", ttl=TTL)
        with no_collection():
            for turn in range(rounds):
                part = slice(turn * size, (turn + 1) * size)
                take(BARE, raw[part], bare.get)
                take("cenote, get", names[part], cache.get)
                take("cenote, get, the second, which makes a copy", names[part], cache.get)
                take("cenote, memoized f", range(part.start, part.stop), memo)
                take("cenote, get on a machine that came later", names[part], late.get)
    section.tables.append(time_table(samples, BARE, "get from the server"))
    section.targets.append(
        Target("shared get on redis:// / bare redis-py GET", 1.3, ratio(samples, "cenote, get", BARE))
    )


def _value_of(number: int) -> str:
    return VALUE


def _tasks(plan: Plan, section: Section) -> None:
    with site() as machines:
        samples = asyncio.run(_race_tasks(plan, machines))
    rows = [[f"{TASKS} tasks", "gets a second", "quartiles", f"x {ABARE}"]]
    base = samples[ABARE].median
    for name, sample in samples.items():
        low, high = sample.quartiles
        rows.append(
            [name, f"{1 / sample.median:,.0f}", f"{1 / high:,.0f} .. {1 / low:,.0f}", f"{base / sample.median:.2f}"]
        )
        if name != ABARE:
            what = f"{name.removeprefix('cenote, ')} of {TASKS} tasks / {ABARE}, gets a second"
            section.targets.append(Target(what, 5, base / sample.median, at_least=True))
    section.tables.append(rows)


async def _race_tasks(plan: Plan, machines: Site) -> dict[str, Sample]:
    import redis.asyncio

    from cenote import CacheManager

    rounds, size = (3, 20 * TASKS) if plan.quick else (11, 40 * TASKS)
    names = [f"chapter:{number}" for number in range(rounds * size)]
    samples = {name: Sample() for name in (ABARE, "cenote, aget", "cenote, aget_or_load")}
    with CacheManager(machines.url("tasks")) as manager:
        read, loaded = (manager.service(name, ttl=TTL) for name in ("read", "loaded"))
        raw = fill(machines.server.client, read, names, VALUE)
        fill(machines.server.client, loaded, names, VALUE)
        bare = redis.asyncio.Redis.from_url(machines.server.url())

        async def load() -> str:
            raise ChildFailedError("an entry that is at the server was loaded")

        def get_or_load(name: str) -> Any:
            return loaded.aget_or_load(name, load)

        async with contextlib.aclosing(bare):
            await _gather(raw[:size], bare.get)  # connects
            with no_collection():
                for turn in range(rounds):
                    part = slice(turn * size, (turn + 1) * size)
                    samples[ABARE].times.append(await _gather(raw[part], bare.get))
                    samples["cenote, aget"].times.append(await _gather(names[part], read.aget))
                    samples["cenote, aget_or_load"].times.append(await _gather(names[part], get_or_load))
    return samples


async def _gather(keys: list[Any], get: Callable[[Any], Any]) -> float:
    """Have many tasks read keys side by side; return the seconds that one read took, all together."""

    async def work(lot: list[Any]) -> None:
        for key in lot:
            if await get(key) is None:
                raise ChildFailedError(f"{key!r} is at the server and was not found")

    begin = time.perf_counter()
    await asyncio.gather(*(work(keys[first::TASKS]) for first in range(TASKS)))
    return (time.perf_counter() - begin) / len(keys)
