"""Threads and event loops at once do everything to two caches, and the checker judges what they saw."""

from __future__ import annotations

import asyncio
import random
import sys
import threading

import pytest

from cenote import CacheManager
from cenote.testing import History, assert_strict

KEYS = [f"k{number}" for number in range(12)]
OPERATIONS = 2500
THREADS = 5
LOOPS = 2


class Soak:
    """Two caches with every option that serves something from before, and what can be done to them."""

    def __init__(self):
        self.caches = CacheManager()
        options = {"ttl": 0.01, "stale_while_revalidate": 0.01, "fail_safe": 5, "fail_safe_throttle": 0.001}
        self.services = {
            "plain": self.caches.service("plain", max_entries=8),
            "lively": self.caches.service("lively", max_entries=8, eviction="lru", **options),
        }
        self.history = History()
        self.functions = {name: self._memoize(name) for name in self.services}
        self.coroutines = {name: self._amemoize(name) for name in self.services}
        self.errors = []

    def _memoize(self, name):
        @self.services[name].memoize(tags=self.tags_of)
        def loaded(key):
            stamped = self.history.stamp(key)
            if hash((key, stamped.birth)) % 7 == 0:
                raise OSError("the source is away")
            return stamped

        return loaded

    def _amemoize(self, name):
        @self.services[name].memoize(tags=self.tags_of)
        async def aloaded(key):
            stamped = self.history.stamp(key)
            await asyncio.sleep(0)
            return stamped

        return aloaded

    @staticmethod
    def tags_of(key):
        return ["even" if int(key[1:]) % 2 == 0 else "odd"]

    def observe(self, name, key, kind, call):
        start = self.history.now()
        try:
            value = call()
        except OSError:
            return
        self.history.read(start, value, cache=name, key=(kind, key), tags=self.tags_of(key))

    def empty(self, chance, name, key):
        cache, history = self.services[name], self.history
        if chance < 0.2:
            with history.invalidation(cache=name):
                cache.clear()
        elif chance < 0.3:
            with history.invalidation(everything=True):
                self.caches.clear_all()
        elif chance < 0.5:
            tag = self.tags_of(key)[0]
            with history.invalidation(cache=name, tags=[tag]):
                cache.invalidate_tags(tag)
        elif chance < 0.7:
            with history.invalidation(cache=name, keys=[("f", key)]):
                self.functions[name].invalidate(key)
        elif chance < 0.8:
            with history.invalidation(cache=name, keys=[("k", key)]):
                cache.delete(key)
        elif chance < 0.9:
            with history.invalidation(cache=name, keys=[("a", each) for each in KEYS]):
                self.coroutines[name].cache_clear()
        else:
            cache.clear(mode="soft")

    def thread(self, seed):
        chances = random.Random(seed)
        try:
            for _ in range(OPERATIONS):
                name, key, chance = chances.choice([*self.services]), chances.choice(KEYS), chances.random()
                cache = self.services[name]
                if chance < 0.03:
                    self.empty(chances.random(), name, key)
                elif chance < 0.08:
                    tags = self.tags_of(key)
                    self.history.set(
                        lambda value, cache=cache, key=key, tags=tags: cache.set(key, value, tags=tags),
                        key,
                        cache=name,
                        key=("k", key),
                    )
                elif chance < 0.12:
                    fill = cache.fill(key)
                    fill.set(self.history.stamp(key), tags=self.tags_of(key))
                elif chance < 0.4:
                    self.observe(name, key, "k", lambda cache=cache, key=key: cache.get(key))
                elif chance < 0.5:
                    self.observe(
                        name,
                        key,
                        "k",
                        lambda cache=cache, key=key: cache.get_or_load(
                            key, lambda: self.history.stamp(key), tags=lambda _value: self.tags_of(key)
                        ),
                    )
                else:
                    self.observe(name, key, "f", lambda name=name, key=key: self.functions[name](key))
        except BaseException as error:
            self.errors.append(error)
            raise

    def loop(self, seed):
        async def task(number):
            chances = random.Random(f"{seed}.{number}")
            for _ in range(OPERATIONS // 10):
                name, key = chances.choice([*self.services]), chances.choice(KEYS)
                start = self.history.now()
                value = await self.coroutines[name](key)
                self.history.read(start, value, cache=name, key=("a", key), tags=self.tags_of(key))
                if chances.random() < 0.02:
                    with self.history.invalidation(cache=name):
                        await self.services[name].aclear()

        async def tasks():
            await asyncio.gather(*[task(number) for number in range(5)])

        try:
            asyncio.run(tasks())
        except BaseException as error:
            self.errors.append(error)
            raise


@pytest.fixture
def hasty_switches():
    """Let the interpreter switch threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_switches")
@pytest.mark.parametrize("seed", range(3))
def test_no_read_of_a_busy_process_is_stale(seed):
    soak = Soak()
    workers = [threading.Thread(target=soak.thread, args=(f"{seed}.{n}",)) for n in range(THREADS)]
    workers += [threading.Thread(target=soak.loop, args=(f"{seed}.{n}",)) for n in range(LOOPS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert not any(worker.is_alive() for worker in workers), "somebody hangs"
    assert not soak.errors
    assert len(soak.history.reads) > OPERATIONS
    assert_strict(soak.history)
    for cache in soak.services.values():
        stats = cache.stats()
        assert stats.current_size == len(cache.keys()) <= 8
        assert stats.hits + stats.misses > 0
    soak.caches.close()
