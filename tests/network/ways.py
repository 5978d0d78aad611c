"""The ways in which a cache hands out values, read all the time in one process; a value is the moment its load began.

``test_ways`` has other processes invalidate meanwhile, and the checker judge what each way has served.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from typing import ClassVar

from tests.waiting import came_about

from cenote.testing import History, Stamped

PATIENCE = 20.0
READERS = 2
PAUSE = 0.0005


class FailedError(Exception):
    """What a loader raises that is not remembered."""


class MissingError(LookupError):
    """What a loader raises that is remembered; its argument is the moment at which that load began."""


class Way:
    """One way of reading, and what loads for it. While the gate is closed, no load ends."""

    options: ClassVar[dict[str, object]] = {}
    waits = False
    """Whether it reads in an event loop."""

    name = "k"
    """The identifier of the entry that is read."""

    def __init__(self, caches, service):
        self.cache = caches.service(service, **self.options)
        self.history = History(time.monotonic_ns)
        self.failed = []
        self.hits = 0
        self._under_way = set()
        self._gate, self._halt = threading.Event(), threading.Event()
        self._gate.set()
        self.prepare()
        self._threads = [threading.Thread(target=self._go_on, args=(self._observe,)) for _ in range(READERS)]
        if hasattr(self, "fill_in"):
            self._threads.append(threading.Thread(target=self._go_on, args=(lambda _: self.fill_in(),)))
        for thread in self._threads:
            thread.start()

    def prepare(self):
        """Make what the way needs."""

    # Loaders

    def load(self):
        """Load, synchronously."""
        birth = time.monotonic_ns()
        self._under_way.add(birth)
        assert self._gate.wait(PATIENCE)
        self._under_way.discard(birth)
        return birth

    async def aload(self):
        """Do the same in an event loop."""
        return await asyncio.to_thread(self.load)

    def load_many(self, keys):
        """Load several keys."""
        return dict.fromkeys(keys, self.load())

    async def aload_many(self, keys):
        """Do the same in an event loop."""
        return dict.fromkeys(keys, await self.aload())

    # Readers

    def _go_on(self, action):
        try:
            with asyncio.Runner() if self.waits else contextlib.nullcontext() as runner:
                while not self._halt.wait(PAUSE):
                    action(runner)
        except BaseException as error:
            self.failed.append(repr(error))
            raise

    def _observe(self, runner):
        start = time.monotonic_ns()
        try:
            value = runner.run(self.aread()) if self.waits else self.read()
        except MissingError as error:
            value = error.args[0]
        except FailedError:
            return
        if value is not None:
            self.history.read(start, Stamped(None, value), cache="shop", key=self.name, tags=["t"])
            self.hits += value < start

    def _observe_once(self):
        try:
            with asyncio.Runner() if self.waits else contextlib.nullcontext() as runner:
                self._observe(runner)
        except BaseException as error:
            self.failed.append(repr(error))
            raise

    # Orders

    def close_gate(self):
        """From now on no load ends."""
        self._gate.clear()

    def is_loading(self, patience):
        """Return whether a load is, or comes, under way."""
        return came_about(lambda: self._under_way, patience)

    def let_come(self, patience):
        """Have others begin to read, and return whether they are served, or load or wait for a load."""
        before = self.cache.own_stats().misses
        fresh = [threading.Thread(target=self._observe_once) for _ in range(READERS)]
        self._threads += fresh
        for thread in fresh:
            thread.start()
        return came_about(
            lambda: sum(each.is_alive() for each in fresh) <= self.cache.own_stats().misses - before,
            patience,
        )

    def open_gate(self):
        """Let all loads end."""
        self._gate.set()

    def warm(self, patience):
        """Return whether values are served that were loaded before."""
        before = self.hits
        return came_about(lambda: self.hits > before + 10, patience)

    def end(self):
        """Stop reading, and return what was seen."""
        self._halt.set()
        self._gate.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.history


# With a loader


class GetOrLoad(Way):
    """``get_or_load``."""

    def read(self):
        """Read once."""
        return self.cache.get_or_load("k", self.load, tags=["t"])


class GetOrLoadTaggedByValue(Way):
    """``get_or_load`` of a value whose tags are known only at its load's end."""

    def read(self):
        """Read once."""
        return self.cache.get_or_load("k", self.load, tags=lambda _: ["t"])


class GetOrLoadMany(Way):
    """``get_or_load_many``."""

    def read(self):
        """Read once."""
        return self.cache.get_or_load_many(["k", "l"], self.load_many, tags=["t"])["k"]


class AgetOrLoad(Way):
    """``aget_or_load`` with a coroutine function."""

    waits = True

    async def aread(self):
        """Read once."""
        return await self.cache.aget_or_load("k", self.aload, tags=["t"])


class AgetOrLoadMany(Way):
    """``aget_or_load_many``."""

    waits = True

    async def aread(self):
        """Read once."""
        return (await self.cache.aget_or_load_many(["k", "l"], self.aload_many, tags=["t"]))["k"]


class Memoize(Way):
    """A memoized function."""

    name = "loaded('k')"

    def prepare(self):
        """Make the function."""

        @self.cache.memoize(name="loaded", tags=["t"])
        def loaded(key):
            return self.load()

        self.function = loaded

    def read(self):
        """Read once."""
        return self.function("k")


class MemoizeCoroutine(Way):
    """A memoized coroutine function."""

    waits = True
    name = "loaded('k')"

    def prepare(self):
        """Make the function."""

        @self.cache.memoize(name="loaded", tags=["t"])
        async def loaded(key):
            return await self.aload()

        self.function = loaded

    async def aread(self):
        """Read once."""
        return await self.function("k")


class Timeout(GetOrLoad):
    """``get_or_load`` where the loader runs in a thread of its own."""

    options: ClassVar = {"load_timeout": PATIENCE}


class Copies(GetOrLoad):
    """``get_or_load`` where each caller is handed a copy of its own."""

    options: ClassVar = {"copy": "deep"}


# While somebody else loads


class Get(Way):
    """``get``."""

    def fill_in(self):
        """Load what is missing."""
        self.cache.get_or_load("k", self.load, tags=["t"])

    def read(self):
        """Read once."""
        return self.cache.get("k")


class GetMany(Get):
    """``get_many``."""

    def read(self):
        """Read once."""
        return self.cache.get_many(["k", "nothing"]).get("k")


class Aget(Get):
    """``aget``."""

    waits = True

    async def aread(self):
        """Read once."""
        return await self.cache.aget("k")


class AgetMany(Get):
    """``aget_many``."""

    waits = True

    async def aread(self):
        """Read once."""
        return (await self.cache.aget_many(["k", "nothing"])).get("k")


class Fill(Get):
    """``get`` of what a ``fill`` token has stored."""

    def fill_in(self):
        """Compute what a token stores."""
        token = self.cache.fill("k")
        token.set(self.load(), tags=["t"])
        came_about(lambda: self._halt.is_set() or not self._gate.is_set(), 0.02)


class Refresh(Memoize):
    """A memoized function that is refreshed all the time."""

    def fill_in(self):
        """Load it anew."""
        self.function.refresh("k")
        came_about(lambda: self._halt.is_set() or not self._gate.is_set(), 0.02)


# What is kept for later


class Stale(GetOrLoad):
    """Stale values, while they are reloaded in the background."""

    options: ClassVar = {"ttl": 0.02, "stale_while_revalidate": 60.0}


class Astale(AgetOrLoad):
    """Stale values in an event loop."""

    options = Stale.options


class StaleMany(GetOrLoadMany):
    """Stale values of many keys."""

    options = Stale.options


class Ahead(GetOrLoad):
    """Values that are reloaded in the background before they turn stale."""

    options: ClassVar = {"ttl": 0.1, "refresh_ahead": 0.1}


class AheadMemoize(Memoize):
    """A memoized function whose values are reloaded ahead."""

    options = Ahead.options


class FailSafe(GetOrLoad):
    """Copies that are kept for when the loader fails, which it does every other time."""

    options: ClassVar = {"ttl": 0.02, "fail_safe": 60.0, "fail_safe_throttle": 0.005}

    def prepare(self):
        """Count the loads."""
        self._count = itertools.count()

    def load(self):
        """Load, or fail."""
        birth = super().load()
        if next(self._count) % 2:
            raise FailedError
        return birth


class AfailSafe(FailSafe):
    """The same in an event loop."""

    waits = True
    aread = AgetOrLoad.aread


class Negative(GetOrLoad):
    """Failures that are remembered."""

    options: ClassVar = {"negative_ttl": 60.0}

    def load(self):
        """Fail."""
        raise MissingError(super().load())


WAYS = {
    each.__name__: each
    for each in (
        *(Get, GetMany, Aget, AgetMany),
        *(GetOrLoad, GetOrLoadTaggedByValue, GetOrLoadMany, AgetOrLoad, AgetOrLoadMany, Timeout, Copies),
        *(Memoize, MemoizeCoroutine, Fill, Refresh),
        *(Stale, Astale, StaleMany, Ahead, AheadMemoize, FailSafe, AfailSafe, Negative),
    )
}
