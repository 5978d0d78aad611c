"""The core under forced thread switches: at every line of the core, a seed decides which thread goes on."""

from __future__ import annotations

from collections import deque

import pytest

from cenote import (
    CacheManager,
    Refill,
    admission,
    approach,
    clearing,
    copying,
    core,
    figures,
    flight,
    following,
    holding,
    keeper,
    loading,
    locks,
    many,
    operations,
    pacing,
    scope,
    state,
    swapping,
    tables,
    view,
)
from cenote.core import CacheCore
from cenote.entry import GONE, Entry
from cenote.stores import memory
from cenote.testing import FakeClock, History, Scenario, assert_strict, explore

CORE = [
    admission,
    approach,
    clearing,
    copying,
    core,
    figures,
    flight,
    following,
    holding,
    loading,
    many,
    operations,
    pacing,
    scope,
    state,
    swapping,
    tables,
    view,
    memory,
    "<cenote wrapper of loaded>",
]
SEEDS = range(120)


@pytest.fixture(autouse=True)
def no_keeper(monkeypatch):
    """The keeper's thread is not the scheduler's to order, so it stays away."""
    monkeypatch.setattr(keeper.keeper, "watch", lambda _core: None)
    monkeypatch.setattr(keeper.keeper, "notice", lambda: None)
    # Nor is the thread that lets loads through: the scenario does that, or those who wait have waited long enough.
    monkeypatch.setattr(pacing.Pace, "run", lambda _pace: None)


class Shared:
    """A cache, a memoized function, and the history of all that the threads do."""

    def __init__(self, **options):
        self.clock = FakeClock()
        self.caches = CacheManager(clock=self.clock)
        self.cache = self.caches.service("shared", **options)
        self.history = History()

        @self.cache.memoize(tags=lambda _key: ["t"])
        def loaded(key):
            return self.history.stamp(key)

        self.loaded = loaded

    def reads(self, times=2, key="k"):
        def run():
            for _ in range(times):
                self.history.observe(lambda: self.loaded(key), cache="shared", key=key, tags=["t"])

        return run

    def gets(self, times=2):
        def run():
            for _ in range(times):
                self.history.observe(lambda: self.cache.get("loaded('k')"), cache="shared", key="k", tags=["t"])

        return run

    def sets(self, key="k"):
        def run():
            self.history.set(
                lambda value: self.cache.set("loaded('k')", value, tags=["t"]), "set", cache="shared", key=key
            )

        return run

    def fills(self):
        def run():
            token = self.cache.fill("loaded('k')")
            token.set(self.history.stamp("filled"), tags=["t"])

        return run

    def empties(self, how):
        def run():
            history = self.history
            if how == "clear":
                with history.invalidation(cache="shared"):
                    self.cache.clear()
            elif how == "paced":
                with history.invalidation(cache="shared"):
                    self.cache.clear(refill=Refill(0.001, wait_seconds=0.01))
            elif how == "clear_all":
                with history.invalidation(everything=True):
                    self.caches.clear_all()
            elif how == "delete":
                with history.invalidation(cache="shared", keys=["k"]):
                    self.cache.delete("loaded('k')")
            elif how == "tags":
                with history.invalidation(cache="shared", tags=["t"]):
                    self.cache.invalidate_tags("t")
            elif how == "prefix":
                with history.invalidation(cache="shared", keys=["k"]):
                    self.cache.clear(prefix="load")
            elif how == "soft":
                with history.invalidation(cache="shared", mode="soft"):
                    self.cache.clear(mode="soft")
            # A read of the same thread, after the call returned: the one that the promise is about.
            history.observe(lambda: self.loaded("k"), cache="shared", key="k", tags=["t"])

        return run

    def after(self):
        for _ in range(2):
            self.history.observe(lambda: self.loaded("k"), cache="shared", key="k", tags=["t"])
        assert_strict(self.history)
        stats = self.cache.stats()
        assert stats.current_size == len(self.cache.keys())


EMPTIES = ["clear", "paced", "clear_all", "delete", "tags", "prefix", "soft"]


@pytest.mark.parametrize("how", EMPTIES)
def test_no_schedule_of_loads_and_one_invalidation_serves_an_old_value(how):
    def scenario():
        shared = Shared()
        return Scenario([shared.reads(), shared.gets(), shared.empties(how)], shared.after)

    covered = explore(scenario, modules=CORE, seeds=SEEDS)
    assert covered.distinct > len(SEEDS) * 0.9


def test_no_schedule_of_two_paced_clears_serves_an_old_value():
    """Loads wait behind the first clear while the second one ends its refill and begins another."""

    def scenario():
        shared = Shared()

        def pump():
            for _ in range(3):
                shared.clock.advance(600.0)
                pace = shared.cache._core.pace
                if pace is not None:
                    pace.pump()

        return Scenario(
            [shared.reads(3), shared.reads(3), shared.empties("paced"), shared.empties("paced"), pump], shared.after
        )

    explore(scenario, modules=CORE, seeds=SEEDS)


@pytest.mark.parametrize("how", EMPTIES)
def test_no_schedule_of_overwrites_fills_and_invalidations_serves_an_old_value(how):
    def scenario():
        shared = Shared()
        return Scenario([shared.sets(), shared.fills(), shared.gets(), shared.empties(how)], shared.after)

    explore(scenario, modules=CORE, seeds=SEEDS)


class ScheduledWorkers:
    """Background loads run in a thread of the scenario, so that the seed orders them too."""

    def __init__(self, callers):
        self.jobs = deque()
        self.callers = callers
        self.waiter = None

    def submit(self, job):
        self.jobs.append(job)
        self.notify()

    def notify(self):
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.wake()

    def counted(self, run):
        def caller():
            try:
                run()
            finally:
                self.callers -= 1
                self.notify()

        return caller

    def work(self):
        while self.callers or self.jobs:
            if self.jobs:
                self.jobs.popleft()()
            else:
                self.waiter = waiter = locks.make_waiter()
                waiter.wait()


@pytest.mark.parametrize("how", ["clear", "delete", "tags", "soft"])
@pytest.mark.parametrize(
    ("options", "age"),
    [({"stale_while_revalidate": 100, "fail_safe": 1000}, 15), ({"refresh_ahead": 0.5}, 6)],
    ids=["stale", "ahead"],
)
def test_no_schedule_of_background_reloads_serves_an_old_value(options, age, how, monkeypatch):
    def scenario():
        scheduled = ScheduledWorkers(callers=3)
        monkeypatch.setattr(loading, "workers", scheduled)
        shared = Shared(ttl=10, **options)
        shared.loaded("k")
        shared.clock.advance(age)
        callers = [shared.reads(1), shared.gets(1), shared.empties(how)]
        return Scenario([*map(scheduled.counted, callers), scheduled.work], after(shared))

    def after(shared):
        def check():
            monkeypatch.undo()
            shared.after()

        return check

    explore(scenario, modules=CORE, seeds=range(240))


def test_no_schedule_of_reads_late_in_a_ttl_reloads_twice_or_waits_for_the_new_value(monkeypatch):
    def scenario():
        scheduled = ScheduledWorkers(callers=2)
        monkeypatch.setattr(loading, "workers", scheduled)
        clock, loads, served = FakeClock(), [], []
        cache = CacheManager(clock=clock).service("s", ttl=10, refresh_ahead=0.5)

        def load():
            loads.append(clock.monotonic())
            return len(loads)

        def read():
            served.append(cache.get_or_load("k", load))

        def check():
            monkeypatch.undo()
            assert len(loads) == 2
            assert 1 in served  # whoever has it reloaded takes what was there

        read()
        served.clear()
        clock.advance(6)
        return Scenario([scheduled.counted(read), scheduled.counted(read), scheduled.work], check)

    explore(scenario, modules=CORE, seeds=SEEDS)


def test_no_bytecode_is_a_place_where_a_switch_makes_a_hit_old():
    def scenario():
        shared = Shared(ttl=100)
        shared.loaded("k")
        return Scenario([shared.gets(1), shared.sets(), shared.empties("delete")], shared.after)

    explore(scenario, modules=[operations, state, memory], seeds=range(60), opcodes=True)


@pytest.mark.parametrize("eviction", ["s3fifo", "lru", "sieve"])
def test_no_schedule_breaks_the_limit_or_loses_an_entry(eviction):
    def scenario():
        shared = Shared(max_entries=2, eviction=eviction)

        def after():
            assert len(shared.cache) == len(shared.cache.keys()) <= 2
            assert_strict(shared.history)

        return Scenario([shared.reads(1, key) for key in "abc"] + [shared.empties("clear")], after)

    explore(scenario, modules=CORE, seeds=range(60))


def _publish_then_check(self, slot, flight, value, terms):
    """What a first sketch would do: look whether the flight still counts, then store without the lock."""
    entry, kept = self._entry(slot.index, flight.key, value, terms, birth=flight.birth, born=flight.born, cost=0.0)
    registered = flight.registered
    if registered and entry is not None:
        self.state.store.put(entry)
    with self.lock:
        flight.detach()
        outcome = type(flight.outcome or core.Outcome())(kept)
        flight.end(outcome)
    return outcome


def test_the_scheduler_finds_a_publish_that_checks_without_the_lock(monkeypatch):
    monkeypatch.setattr(CacheCore, "settle", _publish_then_check)

    def scenario():
        shared = Shared()
        return Scenario([shared.reads(1), shared.gets(), shared.empties("clear")], shared.after)

    with pytest.raises(AssertionError):
        explore(scenario, modules=[*CORE, __file__], seeds=range(400))


def _overwrite_terms_first(self, older, entry):
    """Stores the terms before the value: a hit may take a new birth for the old value."""
    older.birth = entry.birth
    older.fresh_until = entry.fresh_until
    older.value = entry.value


def test_the_scheduler_finds_an_overwrite_that_stores_its_terms_first(monkeypatch):
    """Soft floors are where it shows: the old value passes for one that was born after the soft clear."""
    monkeypatch.setattr(memory.MemoryStore, "_overwrite", _overwrite_terms_first)
    old = object()

    def scenario():
        caches = CacheManager()
        shared = caches.service("shared")
        shared.set("k", old)
        shared.clear(mode="soft")
        seen = []

        def read():
            seen.append(shared.get("k"))

        def after():
            assert old not in seen, "a value from before the soft clear passed for fresh"

        return Scenario([read, lambda: shared.set("k", "new")], after)

    with pytest.raises(AssertionError):
        explore(scenario, modules=[operations, __file__], seeds=range(400))
    monkeypatch.undo()
    explore(scenario, modules=[operations, memory], seeds=range(200), opcodes=True)


def test_a_hit_never_hands_out_the_mark_of_an_entry_that_is_gone():
    def scenario():
        caches = CacheManager()
        shared = caches.service("shared")
        shared.set("k", "old")
        seen = []

        def read():
            seen.append(shared.get("k"))

        def after():
            assert GONE not in seen
            assert not any(isinstance(value, Entry) for value in seen)

        return Scenario([read, read, lambda: shared.delete("k")], after)

    explore(scenario, modules=[operations, core], seeds=range(100), opcodes=True)
