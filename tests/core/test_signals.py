"""Interruptions: signal handlers, finalizers and KeyboardInterrupt at the worst of moments."""

from __future__ import annotations

import gc
import signal
import sys
import threading

import pytest

from cenote import ReentrantError, locks

CHANGES = {
    "set": lambda cache: cache.set("k", 2, ttl=5, tags=["t"]),
    "delete": lambda cache: cache.delete("k"),
    "get_or_load": lambda cache: cache.get_or_load("new", lambda: 1),
    "get_or_load_many": lambda cache: cache.get_or_load_many(["new", "k"], lambda keys: dict.fromkeys(keys, 1)),
    "clear": lambda cache: cache.clear(),
    "soft clear": lambda cache: cache.clear(mode="soft"),
    "prefix": lambda cache: cache.clear(prefix="k"),
    "tags": lambda cache: cache.invalidate_tags("t"),
    "fill": lambda cache: cache.fill("k").set(1),
    "stats": lambda cache: cache.stats(),
    "keys": lambda cache: cache.keys(),
    "memoize": lambda cache: cache.memoize(name="f")(lambda value: value)(1),
    "off and on": lambda cache: (setattr(cache, "enabled", False), setattr(cache, "enabled", True)),
}


def consistent(cache):
    """Whether what a cache counts is what it holds, and nothing is loading."""
    assert len(cache) == len(cache.keys())
    assert not cache._core.state.flights
    cache.set("probe", 1, tags=["probe"])
    assert cache.get("probe") == 1
    assert cache.invalidate_tags("probe") == 1
    cache.clear()
    assert (len(cache), cache.keys()) == (0, [])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(
    "handler",
    [
        lambda cache: cache.clear(),
        lambda cache: cache.delete("k"),
        lambda cache: cache.set("handler", 1, ttl=9),
        lambda cache: cache.clear(prefix="k"),
    ],
    ids=["clear", "delete", "set", "prefix"],
)
def test_a_handler_that_changes_the_cache_amid_a_change_succeeds_or_is_refused(make, at_every_line, change, handler):
    cache = make(max_entries=20)
    cache.set("k", 1, tags=["t"])
    outcomes = []

    def between():
        try:
            handler(cache)
            outcomes.append("done")
        except ReentrantError as error:
            outcomes.append(str(error))

    at_every_line(lambda: change(cache), between)
    assert "done" in outcomes
    assert all(outcome == "done" or "signal handler or a finalizer" in outcome for outcome in outcomes)
    consistent(cache)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_handler_reads_at_any_moment(make, at_every_line, change):
    cache = make(max_entries=20)
    cache.set("k", 1, tags=["t"])
    cache.set("other", "there")

    def between():
        assert cache.get("other") in ("there", None)
        assert cache.get_or_load("absent", lambda: "loaded") == "loaded"
        assert cache.get_many(["k"]) in ({}, {"k": 1}, {"k": 2})
        cache.explain("k")
        len(cache)
        cache.stats()
        cache.keys()

    at_every_line(lambda: change(cache), between)
    consistent(cache)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_clear_of_another_cache_by_a_handler_is_never_undone(make, at_every_line, change):
    cache, other = make(), make()
    cache.set("k", 1, tags=["t"])

    def between():
        assert other.get("k") is None
        other.set("k", "old")
        try:
            other.clear()
        except ReentrantError:
            other.delete("k")

    at_every_line(lambda: change(cache), between)
    assert other.get("k") is None
    consistent(other)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_clear_of_everything_by_a_handler_is_never_undone(caches, make, at_every_line, change):
    cache, other = make(), make()
    cache.set("k", 1, tags=["t"])

    def between():
        assert other.get("k") is None
        other.set("k", "old")
        try:
            caches.clear_all()
        except ReentrantError:
            other.delete("k")

    at_every_line(lambda: change(cache), between)
    assert other.get("k") is None
    consistent(other)
    consistent(cache)


class Interrupting:
    """An argument that interrupts whoever looks it up."""

    def __init__(self):
        self.armed = False

    def __hash__(self):
        if self.armed:
            signal.raise_signal(signal.SIGUSR1)
        return 1

    def __eq__(self, other):
        return self is other

    def __repr__(self):
        return "Interrupting()"


def test_a_real_signal_whose_handler_clears_amid_a_change_is_refused_and_nothing_is_lost(cache):
    errors = []

    def handler(number, frame):
        try:
            cache.clear()
        except ReentrantError as error:
            errors.append(error)

    before = signal.signal(signal.SIGUSR1, handler)
    f = cache.memoize(name="f")(lambda value: "value")
    argument = Interrupting()
    try:
        argument.armed = True
        assert f(argument) == "value"
        f.invalidate(argument)
    finally:
        argument.armed = False
        signal.signal(signal.SIGUSR1, before)
    assert errors
    consistent(cache)


def test_an_interrupted_wait_leaves_the_load_to_whoever_runs_it(cache, gate, spawn, until):
    main = threading.main_thread().ident
    interrupts = []

    def interrupt(number, frame):
        if not interrupts:
            interrupts.append(number)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("value"))
    gate.begun()

    def kill():
        # Not before the main thread stands in its wait: the interrupt is meant for that.
        until(lambda: sys._current_frames()[main].f_code is locks.Waiter.wait.__code__)
        # A signal between the last look of the interpreter and the system's own wait is seen only after the wait.
        until(lambda: interrupts or signal.pthread_kill(main, signal.SIGUSR1))

    killer = spawn(kill)
    try:
        with pytest.raises(KeyboardInterrupt):
            cache.get_or_load("k", lambda: pytest.fail("loaded twice"))
    finally:
        signal.signal(signal.SIGUSR1, before)
    killer.result()
    gate.open()
    assert load.result() == "value"
    assert cache.get("k") == "value"
    assert not cache._core.state.flights


class Final:
    """A value whose finalizer uses the cache."""

    def __init__(self, cache, outcomes):
        self.cache = cache
        self.outcomes = outcomes

    def __del__(self):
        try:
            self.cache.get("k")
            self.cache.set("last words", 1)
            self.cache.delete("last words")
            self.outcomes.append("done")
        except Exception as error:  # noqa: BLE001  # judged by the test
            self.outcomes.append(repr(error))


LEAVING = {
    "overwritten": lambda cache: cache.set("k", 1),
    "overwritten by a tagged one": lambda cache: cache.set("k", 1, tags=["t"]),
    "deleted": lambda cache: cache.delete("k"),
    "invalidated": lambda cache: cache.clear(prefix="k"),
    "set to nothing": lambda cache: cache.set("k", 1, ttl=0),
    "evicted": lambda cache: [cache.set(f"{number}", 1) for number in range(30)],
    "grown too large": lambda cache: cache.set("k", "x" * 200),
    "cleared": lambda cache: cache.clear(),
    "switched off": lambda cache: setattr(cache, "enabled", False),
    "reloaded": lambda cache: (cache.clear(mode="soft"), cache.get_or_load("k", lambda: 1)),
    "reloaded with tags": lambda cache: (cache.clear(mode="soft"), cache.get_or_load("k", lambda: 1, tags=["t"])),
}


@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("weighed", [False, True])
def test_a_finalizer_of_a_value_may_use_the_cache(make, until, leave, weighed):
    limits = {"max_bytes": 20, "weigher": lambda value: len(value) if isinstance(value, str) else 1}
    cache = make(**limits if weighed else {"max_entries": 10})
    outcomes = []
    cache.set("k", Final(cache, outcomes))
    leave(cache)

    gc.collect()
    until(lambda: outcomes)
    assert outcomes == ["done"]


def test_a_finalizer_of_a_value_whose_failure_is_remembered_may_use_the_cache(make, clock):
    cache = make(ttl=10, fail_safe=10, fail_safe_throttle=1, negative_ttl=5)
    outcomes = []
    cache.set("k", Final(cache, outcomes))
    clock.advance(20)

    def fail():
        raise LookupError

    with pytest.raises(LookupError):
        cache.get_or_load("k", fail)
    gc.collect()
    assert outcomes == ["done"]
