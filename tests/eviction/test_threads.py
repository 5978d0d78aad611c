"""Policies keep their books while unlocked hits race with everything."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from cenote import locks
from cenote.entry import Entry
from cenote.eviction import POLICIES, EvictionPolicy

CAPACITY = 300
KEYS = 1_000
WRITES = 30_000


@pytest.fixture(autouse=True)
def _quick_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Crowd:
    """Writers that take the lock and hitters that do not, over one table."""

    def __init__(self, policy: str) -> None:
        self.lock = locks.make_lock()
        self.policy: EvictionPolicy = POLICIES[policy](CAPACITY, self.lock)
        self.table: dict[int, Entry] = {}
        self.admitted = 0
        self.left: Counter[int] = Counter()
        self.kept: list[Entry] = []
        self.errors: list[BaseException] = []
        self.over = threading.Event()

    def write(self, seed: int) -> None:
        chance = random.Random(seed)
        policy, table = self.policy, self.table
        for _ in range(WRITES):
            key = int(chance.paretovariate(0.6)) % KEYS
            with self.lock:
                entry = table.get(key)
                if entry is None:
                    while len(policy) >= CAPACITY:
                        victim = policy.evict()
                        assert victim is not None
                        assert table.pop(victim.key) is victim
                        self.left[id(victim)] += 1
                    entry = table[key] = Entry(key, None)
                    self.kept.append(entry)
                    self.admitted += 1
                    policy.admit(entry)
                elif chance.random() < 0.2:
                    del table[key]
                    policy.remove(entry)
                    self.left[id(entry)] += 1
                assert len(policy) == len(table)

    def hit(self, seed: int) -> None:
        chance = random.Random(seed)
        touch, cap = self.policy.touch, self.policy.touch_cap
        recent: list[Entry] = [Entry("stranger", None)]
        while not self.over.is_set():
            entry = self.table.get(int(chance.paretovariate(0.6)) % KEYS)
            if entry is not None:
                recent = [*recent[-50:], entry]
            for some in (recent[-1], chance.choice(recent)):
                if touch is not None:
                    touch(some)
                elif some.freq < cap:
                    some.freq += 1

    def run(self) -> None:
        writers = [threading.Thread(target=self._guard, args=(self.write, seed)) for seed in range(2)]
        hitters = [threading.Thread(target=self._guard, args=(self.hit, seed)) for seed in range(3)]
        for thread in (*writers, *hitters):
            thread.start()
        for thread in writers:
            thread.join()
        self.over.set()
        for thread in hitters:
            thread.join()

    def _guard(self, work: object, seed: int) -> None:
        try:
            work(seed)  # type: ignore[operator]  # one of the two methods above
        except BaseException as error:  # noqa: BLE001  # shown by the test that started the thread
            self.errors.append(error)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_every_entry_leaves_exactly_once_while_hits_race(policy: str) -> None:
    """Two writers and three hitters: the live count is exact throughout, and nothing leaves twice or stays behind."""
    crowd = Crowd(policy)
    crowd.run()
    assert crowd.errors == []
    for victim in iter(crowd.policy.evict, None):
        assert crowd.table.pop(victim.key) is victim
        crowd.left[id(victim)] += 1
    assert crowd.table == {}
    assert len(crowd.policy) == 0
    assert len(crowd.left) == crowd.admitted == len(crowd.kept)
    assert set(crowd.left.values()) == {1}
    assert all(entry.where == 0 for entry in crowd.kept)


def test_a_touch_never_waits_for_the_write_lock() -> None:
    """While another thread writes, LRU's touches pile up and are worked off by the next eviction."""
    lock = locks.make_lock()
    policy = POLICIES["lru"](10, lock)
    first, second = Entry(1, None), Entry(2, None)
    policy.admit(first)
    policy.admit(second)
    done = threading.Event()

    def touch() -> None:
        assert policy.touch is not None
        for _ in range(5_000):
            policy.touch(first)
        done.set()

    with lock:
        thread = threading.Thread(target=touch)
        thread.start()
        assert done.wait(30)
    thread.join()
    assert policy.evict() is second
