"""Every way to invalidate, against all that another process may hold: copies, loads, fills, and what it just found."""

from __future__ import annotations

import contextlib
import threading

import pytest

from cenote import ClearFailedError
from cenote.core import CacheCore
from cenote.invalidation.machine.lock import LockBusyError
from cenote.invalidation.machine.log import MachineLog
from cenote.sharing import Sharing

from .conftest import equipped

KEY = "loaded(1)"


def refresh(caches):
    caches.value = "new"
    caches.loaded.refresh(1)


WAYS = {
    "clear": lambda caches: caches.shop.clear(),
    "clear_all": lambda caches: caches.clear_all(),
    "delete": lambda caches: caches.shop.delete(KEY),
    "set": lambda caches: caches.shop.set(KEY, "new"),
    "tags": lambda caches: caches.shop.invalidate_tags("t"),
    "prefix": lambda caches: caches.shop.clear(prefix="load"),
    "call": lambda caches: caches.loaded.invalidate(1),
    "function": lambda caches: caches.loaded.cache_clear(),
    "refresh": refresh,
    "soft": lambda caches: caches.shop.clear(mode="soft"),
    "soft-tags": lambda caches: caches.shop.clear(mode="soft", tags=["t"]),
    "soft-all": lambda caches: caches.clear_all(mode="soft"),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def read(caches):
    return caches.shop.get(KEY)


def near(caches):
    """Return the copy in a process's memory."""
    state = caches.shop._core.state
    return next((table[key].value for table in state.tables for key in table), None)


@ways
@pytest.mark.parametrize("where", ["memory", "file"])
def test_what_another_process_has_is_not_served_afterwards(pair, way, where):
    one, other = pair
    one.loaded(1)
    if where == "memory":
        while near(other) is None:
            assert read(other) == "old"
    way(one)
    assert read(other) in (None, "new")
    other.value = "new"
    assert other.loaded(1) == "new"
    assert read(one) == read(other) == "new"


@ways
@pytest.mark.parametrize("kind", ["call", "text"])
def test_a_load_that_began_elsewhere_before_is_stored_nowhere(pair, way, kind):
    one, other = pair

    def load():
        way(one)
        return "old"

    if kind == "text":
        other.shop.get_or_load(KEY, load, tags=["t"])
    else:
        other.load = load
        assert other.loaded(1) == "old"
    assert read(one) in (None, "new")
    assert read(other) in (None, "new")


@ways
def test_a_fill_token_that_was_taken_elsewhere_before_stores_nothing(pair, way):
    one, other = pair
    token = other.shop.fill(KEY)
    way(one)
    token.set("old", tags=["t"])
    assert read(one) in (None, "new")
    assert read(other) in (None, "new")


@contextlib.contextmanager
def a_reader_held_at_what_it_found(caches, monkeypatch):
    """Have a thread read, and hold it when it has found the entry in the file; gives a list of what it returns."""
    found, go_on = threading.Event(), threading.Event()
    find = Sharing.find

    def held(self, *arguments):
        entry = find(self, *arguments)
        if threading.current_thread() is reader:
            found.set()
            assert go_on.wait(20)
        return entry

    seen = []
    reader = threading.Thread(target=lambda: seen.append(read(caches)))
    with monkeypatch.context() as patch:
        patch.setattr(Sharing, "find", held)
        reader.start()
        assert found.wait(20)
        yield seen
        go_on.set()
        reader.join(20)


@ways
@pytest.mark.parametrize("obeyed", [True, False], ids=["obeyed", "unread"])
def test_a_read_that_found_the_entry_before_copies_it_nowhere(pair, way, obeyed, monkeypatch):
    one, other = pair
    one.loaded(1)
    read(other)
    with a_reader_held_at_what_it_found(other, monkeypatch) as seen:
        way(one)
        if obeyed:
            other.shop.get("something else")
    assert seen == ["old"]
    assert read(other) in (None, "new")
    assert read(one) in (None, "new")


@ways
def test_a_read_of_the_same_process_that_found_the_entry_before_copies_it_nowhere(pair, way, monkeypatch):
    one, other = pair
    other.loaded(1)
    read(one)
    with a_reader_held_at_what_it_found(one, monkeypatch):
        way(one)
    assert read(one) in (None, "new")


@pytest.mark.parametrize("moment", ["before it stores", "after it stored"])
def test_a_refresh_is_not_undone_by_a_load_elsewhere_that_began_earlier(pair, monkeypatch, moment):
    one, other = pair
    begun, go_on = threading.Event(), threading.Event()

    def load():
        begun.set()
        assert go_on.wait(20)
        return "old"

    loading = threading.Thread(target=lambda: other.shop.get_or_load(KEY, load, tags=["t"]))
    loading.start()
    assert begun.wait(20)
    publish = CacheCore.settle

    def settle(self, *arguments):
        ended = publish(self, *arguments)
        if threading.current_thread() is not loading and moment == "after it stored":
            go_on.set()
            loading.join(20)
        return ended

    def loader():
        if moment == "before it stores":
            go_on.set()
            loading.join(20)
        return "new"

    monkeypatch.setattr(CacheCore, "settle", settle)
    one.load = loader
    assert one.loaded.refresh(1) == "new"
    assert read(one) == read(other) == "new"


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def cut_off(monkeypatch):
    """Run something in a process that dies when it comes to a method."""

    def cut_off(owner, name, action):
        def die(*arguments, **named):
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, staticmethod(die) if name == "_raise_head" else die)
            with pytest.raises(Killed):
                action()

    return cut_off


@pytest.mark.parametrize("way", ["delete", "tags", "prefix", "function", "call", "clear"])
@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_set_whose_process_died_before_its_record_is_covered_by_the_next_invalidation(pair, cut_off, way, where):
    one, other = pair
    cut_off(MachineLog, "append", lambda: one.shop.set(KEY, "old", tags=["t"]))
    if where == "memory":
        while near(other) is None:
            assert read(other) == "old"
    WAYS[way](one)
    assert read(one) is None
    assert read(other) is None


@pytest.mark.parametrize("clear", ["clear", "clear_all", "soft", "soft-all"])
def test_a_clear_whose_process_died_before_its_end_does_not_set_later_processes_apart(
    pair, cut_off, open_manager, clear
):
    one, other = pair
    one.loaded(1)
    assert read(other) == "old"
    cut_off(MachineLog, "_raise_head", lambda: WAYS[clear](one))
    other.shop.set("something else", 1)
    third = equipped(open_manager())
    generations = [caches.shop._core.current().generation for caches in (third, other)]
    assert generations[0] == generations[1]
    assert read(third) == "old"
    third.shop.delete(KEY)
    assert read(other) is None


def test_a_clear_that_cannot_reach_others_does_not_say_that_its_own_process_is_cleared(pair, monkeypatch):
    one, _ = pair
    one.loaded(1)

    def busy(self, action):
        raise LockBusyError("the file")

    with monkeypatch.context() as patch:
        patch.setattr(MachineLog, "exclusive", busy)
        for way in ("clear", "clear_all", "tags", "prefix", "function"):
            with pytest.raises(ClearFailedError) as raised:
                WAYS[way](one)
            assert raised.value.level == "none", way


def test_a_large_selective_clear_that_cannot_reach_others_fails_as_a_small_one_does(pair, monkeypatch):
    one, _ = pair
    for number in range(600):
        one.shop.set(f"k{number}", number, tags=["many"])

    def busy(self, action):
        raise LockBusyError("the file")

    with monkeypatch.context() as patch:
        patch.setattr(MachineLog, "exclusive", busy)
        with pytest.raises(ClearFailedError):
            one.shop.invalidate_tags("many")
    assert not one.shop._core.state.tables[0], "the copies in memory stayed"
    assert one.shop.invalidate_tags("many") == 600
    assert one.shop.keys() == []


# Variants that must be found


def test_an_entry_that_leaves_the_file_after_the_record_is_served(pair, monkeypatch):
    """A reader that obeys the record before the entry is out of the file copies it for good."""
    from cenote import selecting  # to break it

    one, other = pair
    one.loaded(1)

    def record_first(core, state, scope, *, soft, tally):
        sequences = [core.log.append(record) for record in scope.records(core.name, soft=soft)]
        while near(other) is None:
            read(other)
        covered = selecting._shared_by(core, state, scope)
        selecting._take_out_shared(core, state, covered, soft=soft, tally=tally, sequence=sequences[-1])
        return sequences

    monkeypatch.setattr(selecting, "_write", record_first)
    one.shop.invalidate_tags("t")
    assert read(other) == "old", "the broken variant was not found"


def test_a_copy_that_is_made_without_looking_what_was_obeyed_meanwhile_is_served(pair, monkeypatch):
    def fetch(self, state, slot, key, entry):
        found = self.sharing.find(state, slot, key)
        with self.lock:
            if found is not None:
                self._put(state, found)
        return found

    one, other = pair
    one.loaded(1)
    monkeypatch.setattr(CacheCore, "fetch", fetch)
    with a_reader_held_at_what_it_found(other, monkeypatch):
        one.shop.invalidate_tags("t")
        other.shop.get("something else")
    assert read(other) == "old", "the broken variant was not found"
