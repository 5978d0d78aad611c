"""Every way to fill a cache against every way to empty it, with a load in flight.

One race: a load begins and stands still, the cache is emptied, then a reader comes, then the load goes on, then another
reader comes. Every read is recorded with the birth of what it served, and the checker judges the history.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from cenote import Cache, CacheManager
from cenote.testing import FakeClock, History, Stamped, assert_strict

PATIENCE = 20.0
KEY = "k"
TAG = "t"


class Failed(LookupError):  # noqa: N818  # it stands for a failed load
    """A loader's failure that carries the moment at which the load began."""

    def __init__(self, stamped: Stamped) -> None:
        super().__init__("no such thing")
        self.stamped = stamped


class Race:
    """One cache, one loader whose first call stands still until it is let go, and the history of both."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.caches = CacheManager(clock=self.clock)
        self.other = self.caches.service("other")
        self.cache: Cache = self.caches.service("raced", **options)
        self.history = History()
        self.started = threading.Event()
        self.gate = threading.Event()
        self.armed = False
        self.fails = False
        self.lock = threading.Lock()
        self.errors: list[BaseException] = []

    def _born(self) -> tuple[Stamped, bool]:
        stamped = self.history.stamp("value")
        with self.lock:
            held, self.armed = self.armed, False
        return stamped, held

    def load(self, *_: object) -> Any:
        """Load; the first call after arming waits at the gate."""
        stamped, held = self._born()
        if held:
            self.started.set()
            assert self.gate.wait(PATIENCE)
        return self._end(stamped, held)

    async def aload(self, *_: object) -> Any:
        stamped, held = self._born()
        if held:
            self.started.set()
            assert await asyncio.to_thread(self.gate.wait, PATIENCE)
        return self._end(stamped, held)

    def load_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: self.load() for key in keys}

    async def aload_many(self, keys: list[str]) -> dict[str, Any]:
        return {key: await self.aload() for key in keys}

    def another(self) -> str:
        """A key that nobody else asks for, to go with the raced one."""
        return f"other {self.history.now()}"

    def _end(self, stamped: Stamped, held: bool) -> Any:
        if self.fails and held:
            raise Failed(stamped)
        return stamped

    def record(self, start: float, served: object) -> None:
        self.history.read(start, served, cache="raced", key=KEY, tags=[TAG])


class Fill:
    """A way to fill: how a reader asks, and what is there before the race."""

    options: dict[str, Any] = {}  # noqa: RUF012  # never changed
    is_async = False
    warm: float | None = None
    """Seconds after a first load at which the race begins; None for a cold start."""
    fails = False
    function: Any = None

    def prepare(self, race: Race) -> None:
        """Make what is to be called."""

    def identifier(self) -> str:
        return KEY

    def read(self, race: Race) -> Any:
        raise NotImplementedError

    async def aread(self, race: Race) -> Any:
        raise NotImplementedError

    def observe(self, race: Race) -> None:
        """Read once and record what was served, a remembered failure included."""
        start = race.history.now()
        try:
            served = asyncio.run(self._whole(race)) if self.is_async else self.read(race)
        except Failed as failed:
            served = failed.stamped
        race.record(start, served)

    async def _whole(self, race: Race) -> Any:
        """Read in a loop that lives until the loads which the read left behind have ended."""
        served = await self.aread(race)
        here = asyncio.get_running_loop()
        await asyncio.gather(*[task for task in race.cache._core.tasks if task.get_loop() is here])
        return served


class GetOrLoad(Fill):
    def read(self, race: Race) -> Any:
        return race.cache.get_or_load(KEY, race.load, tags=[TAG])


class GetOrLoadLateTags(Fill):
    """The tags are known only when the load ends."""

    def read(self, race: Race) -> Any:
        return race.cache.get_or_load(KEY, race.load, tags=lambda _value: [TAG])


class AGetOrLoad(Fill):
    is_async = True

    async def aread(self, race: Race) -> Any:
        first, *_ = await asyncio.gather(*[race.cache.aget_or_load(KEY, race.aload, tags=[TAG]) for _ in range(3)])
        return first


class GetOrLoadMany(Fill):
    def read(self, race: Race) -> Any:
        return race.cache.get_or_load_many([race.another(), KEY], race.load_many, tags=[TAG])[KEY]


class AGetOrLoadMany(Fill):
    is_async = True

    async def aread(self, race: Race) -> Any:
        return (await race.cache.aget_or_load_many([race.another(), KEY], race.aload_many, tags=[TAG]))[KEY]


class FillToken(Fill):
    def read(self, race: Race) -> Any:
        served = race.cache.get(KEY)
        if served is None:
            token = race.cache.fill(KEY)
            served = race.load()
            token.set(served, tags=[TAG])
        return served


class Memoize(Fill):
    def prepare(self, race: Race) -> None:
        @race.cache.memoize(tags=lambda _key: [TAG])
        def loaded(key: str) -> Any:
            return race.load(key)

        self.function = loaded

    def identifier(self) -> str:
        return str(self.function.key(KEY))

    def read(self, race: Race) -> Any:
        return self.function(KEY)


class AMemoize(Memoize):
    is_async = True

    def prepare(self, race: Race) -> None:
        @race.cache.memoize(tags=lambda _key: [TAG])
        async def loaded(key: str) -> Any:
            return await race.aload(key)

        self.function = loaded

    async def aread(self, race: Race) -> Any:
        first, *_ = await asyncio.gather(*[self.function(KEY) for _ in range(3)])
        return first


class MemoizeKey(Memoize):
    """The identifier holds an argument that cannot be read back from it."""

    def prepare(self, race: Race) -> None:
        @race.cache.memoize(tags=lambda _key: [TAG], key=lambda key: (key, Fill))
        def loaded(key: str) -> Any:
            return race.load(key)

        self.function = loaded


class Refresh(Memoize):
    """The load in flight is a refresh of a fresh entry."""

    warm = 0.0
    raced = False

    def read(self, race: Race) -> Any:
        if race.armed:
            return self.function.refresh(KEY)
        return self.function(KEY)


class RefreshAhead(Memoize):
    options = {"ttl": 100, "refresh_ahead": 0.5}  # noqa: RUF012
    warm = 60.0


class ARefreshAhead(AMemoize):
    options = RefreshAhead.options
    warm = 60.0


class StaleWhileRevalidate(Memoize):
    options = {"ttl": 100, "stale_while_revalidate": 100}  # noqa: RUF012
    warm = 150.0


class AStaleWhileRevalidate(AMemoize):
    options = StaleWhileRevalidate.options
    warm = 150.0


class FailSafe(Memoize):
    """The load in flight fails, and a stale copy was kept for that."""

    options = {"ttl": 100, "fail_safe": 1000}  # noqa: RUF012
    warm = 150.0
    fails = True


class AFailSafe(AMemoize):
    options = FailSafe.options
    warm = 150.0
    fails = True


class Negative(Memoize):
    """The load in flight fails, and failures are remembered."""

    options = {"negative_ttl": 1000}  # noqa: RUF012
    fails = True


class ANegative(AMemoize):
    options = Negative.options
    fails = True


class Idle(Memoize):
    options = {"idle_ttl": 100}  # noqa: RUF012
    warm = 150.0


FILLS = [
    GetOrLoad,
    GetOrLoadLateTags,
    GetOrLoadMany,
    FillToken,
    Memoize,
    MemoizeKey,
    Refresh,
    RefreshAhead,
    StaleWhileRevalidate,
    FailSafe,
    Negative,
    Idle,
    AGetOrLoad,
    AGetOrLoadMany,
    AMemoize,
    ARefreshAhead,
    AStaleWhileRevalidate,
    AFailSafe,
    ANegative,
]


def _clear(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced"):
        assert race.cache.clear().status == "success"


def _aclear(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", action="aclear"):
        asyncio.run(race.cache.aclear())


def _clear_all(race: Race, fill: Fill) -> None:
    with race.history.invalidation(everything=True, action="clear_all"):
        race.caches.clear_all()


def _delete(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", keys=[KEY], action="delete"):
        race.cache.delete(fill.identifier())


def _delete_many(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", keys=[KEY], action="delete_many"):
        race.cache.delete_many([fill.identifier()])


def _tags(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", tags=[TAG], action="invalidate_tags"):
        race.cache.invalidate_tags(TAG)


def _prefix(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", keys=[KEY], action="clear prefix"):
        race.cache.clear(prefix=fill.identifier()[:-1])


def _cache_clear(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", keys=[KEY], action="cache_clear"):
        if fill.function is not None:
            fill.function.cache_clear()
        else:
            race.cache.clear(prefix="")


def _invalidate(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", keys=[KEY], action="invalidate"):
        if fill.function is not None:
            fill.function.invalidate(KEY)
        else:
            asyncio.run(race.cache.adelete(KEY))


def _switch(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", action="switch off and on"):
        race.cache.enabled = False
        race.cache.enabled = True


def _switch_all(race: Race, fill: Fill) -> None:
    with race.history.invalidation(everything=True, action="switch all off and on"):
        race.caches.enabled = False
        race.caches.enabled = True


def _set(race: Race, fill: Fill) -> None:
    if isinstance(fill, MemoizeKey):
        _invalidate(race, fill)
        return
    race.history.set(lambda value: race.cache.set(fill.identifier(), value, tags=[TAG]), "set", cache="raced", key=KEY)


def _soft(race: Race, fill: Fill) -> None:
    with race.history.invalidation(cache="raced", mode="soft"):
        race.cache.clear(mode="soft")


EMPTIES: dict[str, Callable[[Race, Fill], None]] = {
    "clear": _clear,
    "aclear": _aclear,
    "clear_all": _clear_all,
    "delete": _delete,
    "delete_many": _delete_many,
    "tags": _tags,
    "prefix": _prefix,
    "cache_clear": _cache_clear,
    "invalidate": _invalidate,
    "switch": _switch,
    "switch all": _switch_all,
    "set": _set,
    "soft": _soft,
}


def run(fill: Fill, empty: str, patience: float = PATIENCE) -> int:
    """Run one race; return how many reads were judged.

    ``patience`` is how many seconds a reader may take before it counts as waiting for the load that stands still.

    Raises:
        AssertionError: A read was stale, or something hung.
    """
    race = Race(**fill.options)
    fill.prepare(race)
    try:
        if fill.warm is not None:
            fill.observe(race)
            race.clock.advance(fill.warm)
        race.armed, race.fails = True, fill.fails
        early = [_thread(fill, race) for _ in range(2)]
        assert race.started.wait(PATIENCE), "no load began"
        begin = race.history.now()
        EMPTIES[empty](race, fill)
        # A reader who comes now must neither be served an old value nor wait for the load that stands still.
        late = _thread(fill, race)
        late.join(patience if empty != "soft" else 0)
        assert empty == "soft" or not late.is_alive(), "a reader waited for a load from before"
        race.gate.set()
        for thread in (*early, late):
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a reader hung"
        assert not race.errors, race.errors
        _settle(race)
        if empty == "soft":
            _assert_stale(race, fill, begin)
        fill.observe(race)
        start = race.history.now()
        race.record(start, race.cache.get(fill.identifier()))
        assert_strict(race.history)
        return len(race.history.reads)
    finally:
        race.gate.set()
        race.caches.close()


def _thread(fill: Fill, race: Race) -> threading.Thread:
    def observe() -> None:
        try:
            fill.observe(race)
        except BaseException as error:  # noqa: BLE001  # raised again by the race
            race.errors.append(error)

    thread = threading.Thread(target=observe, daemon=True)
    thread.start()
    return thread


def _settle(race: Race) -> None:
    """Wait until no load is under way, background ones included."""
    for flight in list(race.cache._core.state.flights.values()):
        done = threading.Event()
        with race.cache._core.lock:
            if flight.outcome is not None:
                continue
            flight.wakers.append(done.set)
        assert done.wait(PATIENCE), "a load never ended"


def _assert_stale(race: Race, fill: Fill, begin: float) -> None:
    """After a soft clear nothing older than it may pass for fresh."""
    for entry in race.cache._core.state.store.entries():
        value = entry.error.stamped if isinstance(entry.error, Failed) else entry.value
        state = race.cache.explain(race.cache._core.slots[entry.slot].identifier(entry.key)).state
        assert state != "fresh" or value.birth >= begin, "an old value passes for fresh"
