"""Two managers of one directory under forced thread switches: to each other they are two processes."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from cenote import (
    CacheManager,
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
    operations,
    scope,
    state,
    swapping,
    tables,
    view,
)
from cenote.errors import ClearFailedError, ClosedError
from cenote.following import Follower
from cenote.invalidation import machine
from cenote.invalidation.machine import census
from cenote.invalidation.machine.layout import Word
from cenote.invalidation.machine.log import MachineLog
from cenote.state import State
from cenote.stores import memory
from cenote.testing import History, Scenario, assert_strict, explore

CORE = [
    approach,
    clearing,
    copying,
    core,
    figures,
    flight,
    following,
    holding,
    loading,
    operations,
    scope,
    state,
    swapping,
    tables,
    view,
    memory,
    machine,
    "<cenote wrapper of loaded>",
]
SEEDS = range(40)
EMPTIES = ["clear", "clear_all", "delete", "tags", "prefix", "function", "soft"]


@pytest.fixture(autouse=True)
def no_threads(monkeypatch, at_once):
    """Threads that are not the scheduler's to order stay away, and nobody waits for them."""
    monkeypatch.setattr(keeper.keeper, "watch", lambda _core: None)
    monkeypatch.setattr(keeper.keeper, "notice", lambda: None)
    monkeypatch.setattr(MachineLog, "attend", lambda self, listener: None)
    monkeypatch.setattr(census, "ANSWER_SECONDS", 0.0)


class OneProcess:
    """What one process has: a manager, a cache and a memoized function."""

    def __init__(self, url, history):
        self.history = history
        self.caches = CacheManager(url)
        self.cache = self.caches.service("shared")

        @self.cache.memoize(name="loaded", tags=lambda _key: ["t"])
        def loaded(key):
            return history.stamp(key)

        self.loaded = loaded

    def observe(self, read, key):
        self.history.observe(read, cache="shared", key=key, tags=["t"])

    def reads(self, times=2):
        """Read a memoized function and a key of the caller's own."""

        def run():
            for _ in range(times):
                self.observe(lambda: self.loaded("k"), "f")
                self.observe(lambda: self.cache.get_or_load("k", lambda: self.history.stamp(1), tags=["t"]), "k")

        return run

    def gets(self, times=2):
        def run():
            for _ in range(times):
                self.observe(lambda: self.cache.get("loaded('k')"), "f")
                self.observe(lambda: self.cache.get("k"), "k")

        return run

    def sets(self):
        def run():
            for name, key in (("k", "k"), ("loaded('k')", "f")):
                self.history.set(
                    lambda value, name=name: self.cache.set(name, value, tags=["t"]), "set", cache="shared", key=key
                )

        return run

    def fills(self):
        def run():
            token = self.cache.fill("k")
            token.set(self.history.stamp("filled"), tags=["t"])

        return run

    def empties(self, how):
        def run():
            history = self.history
            if how == "clear":
                with history.invalidation(cache="shared"):
                    self.cache.clear()
            elif how == "clear_all":
                with history.invalidation(everything=True):
                    self.caches.clear_all()
            elif how == "delete":
                for name, key in (("k", "k"), ("loaded('k')", "f")):
                    with history.invalidation(cache="shared", keys=[key]):
                        self.cache.delete(name)
            elif how == "tags":
                with history.invalidation(cache="shared", tags=["t"]):
                    self.cache.invalidate_tags("t")
            elif how == "prefix":
                with history.invalidation(cache="shared", keys=["f"]):
                    self.cache.clear(prefix="load")
            elif how == "function":
                with history.invalidation(cache="shared", keys=["f"]):
                    self.loaded.invalidate("k")
            elif how == "soft":
                with history.invalidation(cache="shared", mode="soft"):
                    self.cache.clear(mode="soft")
            self.reads(1)()

        return run


class Machine:
    """Two processes of one directory, and what both saw."""

    def __init__(self, url):
        self.history = History()
        self.one, self.other = OneProcess(url, self.history), OneProcess(url, self.history)

    def after(self):
        try:
            for process in (self.one, self.other):
                process.reads(1)()
                process.gets(1)()
            assert_strict(self.history)
            for process in (self.one, self.other):
                assert len(process.cache) == len(process.cache.keys())
                assert process.cache._root.states[process.cache._index].applied == process.caches._log.head
        finally:
            self.close()

    def close(self):
        path = self.one.caches._log.path
        self.one.caches.close()
        self.other.caches.close()
        path.unlink()


@pytest.fixture
def machine_of(url):
    """Make machines; each scenario has a file of its own, made under its scheduler's locks."""
    numbers = itertools.count()

    def machine_of():
        return Machine(f"{url}/{next(numbers)}")

    return machine_of


@pytest.mark.parametrize("how", EMPTIES)
def test_no_schedule_of_loads_here_and_an_invalidation_there_serves_an_old_value(machine_of, how):
    def scenario():
        both = machine_of()
        return Scenario([both.one.reads(), both.one.gets(), both.other.empties(how)], both.after)

    covered = explore(scenario, modules=CORE, seeds=SEEDS)
    assert covered.distinct > len(SEEDS) * 0.9


@pytest.mark.parametrize("how", EMPTIES)
def test_no_schedule_of_overwrites_and_fills_on_both_sides_serves_an_old_value(machine_of, how):
    def scenario():
        both = machine_of()
        threads = [both.one.sets(), both.one.fills(), both.one.gets(), both.other.sets(), both.other.empties(how)]
        return Scenario(threads, both.after)

    explore(scenario, modules=CORE, seeds=SEEDS)


def test_no_schedule_of_clears_on_both_sides_serves_an_old_value(machine_of):
    def scenario():
        both = machine_of()
        threads = [both.one.empties("clear"), both.one.reads(1), both.other.empties("clear_all"), both.other.reads(1)]
        return Scenario(threads, both.after)

    explore(scenario, modules=CORE, seeds=SEEDS)


def test_no_schedule_of_a_file_that_is_taken_away_serves_an_old_value(machine_of):
    """A clear that meets it fails, or is obeyed by all who read after it."""

    def scenario():
        both = machine_of()

        def take_away():
            both.one.caches._log.path.unlink()
            # As the watchers of both would, within the settling time.
            assert both.one.caches.rejoin()
            assert both.other.caches.rejoin()
            for process in (both.other, both.one):
                with both.history.invalidation(cache="shared"):
                    process.cache.clear()
                both.one.reads(1)()

        def clear():
            with contextlib.suppress(ClearFailedError):
                both.one.cache.clear()

        return Scenario([both.one.reads(), both.other.reads(1), clear, take_away], both.after)

    # Whoever attaches holds a lock that the scheduler does not see.
    explore(scenario, modules=CORE, seeds=range(10))


def _number_first(self):
    """Takes the number of what it has yet to obey."""
    state = self.state
    if state.word is None or state.word[0] == state.applied:
        return state
    try:
        head, records = self.log.news(self.name, state.applied)
        if records is None:
            return self.forget()
        state.applied = head
        for record in records:
            state = self._obey_one(state, record)
    except (ClearFailedError, ClosedError):
        return State(self.new_store(), word=self.log.word)
    state.applied = head
    return state


def _head_first(self, joined, kind, written, last):
    """Lets readers see a head whose record is not there yet."""
    joined.file.words[Word.HEAD] = last
    _write(self, joined, kind, written, last)


def _get_without_the_head(self, key, default=None):
    """Looks into the tables as a cache of one process does."""
    entry = self._root.states[self._index].tables[0].get(key)
    return default if entry is None else entry.value


_write = MachineLog._write

BROKEN = {
    "that takes a number before it obeys": (Follower, "obey", _number_first, False),
    "that does not compare the head": (operations.Operations, "get", _get_without_the_head, True),
    "that writes the head before the record": (MachineLog, "_write", _head_first, True),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_the_scheduler_finds_a_cache(broken, machine_of, monkeypatch):
    where, name, replacement, concurrent = BROKEN[broken]
    monkeypatch.setattr(where, name, replacement)
    monkeypatch.setattr(MachineLog, "_are_counted", staticmethod(lambda *_: True))  # a reader that trusts the head
    made = []

    def scenario():
        both = machine_of()
        made.append(both)
        both.one.reads(1)()

        def invalidate():
            with both.history.invalidation(cache="shared", tags=["t"]):
                both.other.cache.invalidate_tags("t")

        if concurrent:
            return Scenario([both.one.gets(20), both.one.gets(20), invalidate], both.after)
        invalidate()
        return Scenario([both.one.gets(1), both.one.gets(1)], both.after)

    try:
        with pytest.raises(AssertionError, match="strict clear broken"):
            explore(scenario, modules=[*CORE, __file__], seeds=range(200))
    finally:
        for both in made[-1:]:
            both.one.caches.close()
            both.other.caches.close()
