"""Fork: the child has an empty cache that works, whatever the parent's threads held; the parent notices nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

import cenote
from cenote import CacheManager

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

PATIENCE = 20


def in_child(function):
    """What a function returns in a forked child; a child that hangs is killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            with os.fdopen(write, "wb") as pipe:
                try:
                    pickle.dump(("returned", function()), pipe)
                except BaseException as error:  # noqa: BLE001  # told to the parent
                    pickle.dump(("raised", repr(error)), pipe)
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        sent = pipe.read()
    status = os.waitpid(child, 0)[1]
    assert sent, f"the child ended without a word, status {status}"
    how, what = pickle.loads(sent)
    assert how == "returned", what
    return what


@pytest.fixture
def caches():
    with CacheManager() as manager:
        yield manager


def held(lock, release):
    """A thread that holds a lock until it is told to give it back."""
    taken = threading.Event()

    def hold():
        with lock:
            taken.set()
            release.wait(PATIENCE)

    threading.Thread(target=hold, daemon=True).start()
    assert taken.wait(PATIENCE)


def test_the_childs_caches_are_empty_and_work(caches, cache):
    cache.set("k", "parent", tags=["t"])
    f = cache.memoize(name="f")(lambda value: os.getpid())
    parent = f(1)

    def child():
        before = (cache.get("k"), len(cache), len(caches.global_cache))
        cache.set("k", "child", tags=["t"])
        mine = (cache.get("k"), f(1) == f(1) == os.getpid(), cache.invalidate_tags("t"))
        new = caches.service("new", ttl=5)
        new.set("k", 1)
        return before, mine, f(1) != parent, caches.clear_all().entries_cleared

    assert in_child(child) == ((None, 0, 0), ("child", True, 1), True, 2)
    assert cache.get("k") == "parent"
    assert f(1) == parent


def test_what_the_child_does_does_not_reach_the_parent(caches, cache):
    cache.set("k", "parent")
    in_child(lambda: (cache.set("other", 1), caches.clear_all().status))
    assert cache.keys() == ["k"]
    assert caches.audit.events() == []


def test_a_child_does_not_wait_for_a_load_of_its_parent(cache, gate, spawn):
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("parent"))
    gate.begun()
    assert in_child(lambda: cache.get_or_load("k", lambda: "child")) == "child"
    gate.open()
    assert load.result() == "parent"
    assert cache.get("k") == "parent"


def test_a_child_forked_amid_a_load_goes_on_with_it_and_stores_nothing_of_it(cache):
    def load():
        return in_child(
            lambda: (
                cache.get_or_load("other", lambda: "other"),
                cache.get("other"),
                cache.get_or_load("k", lambda: "child"),
                cache.get("k"),
            )
        )

    assert cache.get_or_load("k", load) == ("other", "other", "child", "child")


@pytest.mark.parametrize("where", ["cenote.waits._lock", "cenote.bypass._lock"])
def test_a_lock_of_the_library_that_a_thread_holds_at_the_fork_does_not_hang_the_child(cache, where):
    import importlib

    module, name = where.rsplit(".", 1)
    release = threading.Event()
    held(getattr(importlib.import_module(module), name), release)

    def child():
        with cenote.bypass():
            cache.get("k")
        return cache.get_or_load("a", lambda: cache.get_or_load("b", lambda: 1))

    try:
        assert in_child(child) == 1
    finally:
        release.set()


def test_forks_amid_the_work_of_other_threads_never_hang_a_child(cache, caches, spawn):
    stop = threading.Event()

    def work(number):
        turn = 0
        while not stop.is_set():
            turn += 1
            cache.set(f"{number}", turn, ttl=5, tags=["t"])
            cache.get_or_load("shared", lambda: cache.get_or_load(f"{number}", lambda: 1))
            with cenote.bypass():
                cache.get("shared")
            if turn % 10 == 0:
                caches.clear_all()
            caches.stats()
            cache.invalidate_tags("t")

    threads = [spawn(work, number) for number in range(3)]

    def child():
        assert len(cache) == 0
        with cenote.bypass():
            pass
        assert cache.get_or_load("a", lambda: cache.get_or_load("b", lambda: 1)) == 1
        caches.audit.events()
        return caches.clear_all().entries_cleared

    try:
        assert [in_child(child) for _ in range(20)] == [2] * 20
    finally:
        stop.set()
    for thread in threads:
        thread.result()


def test_entries_that_end_leave_the_child_without_a_read(cache, until):
    cache.set("k", 1, ttl=0.01)

    def child():
        class Value:
            pass

        value = Value()
        seen = weakref.ref(value)
        cache.set("k", value, ttl=0.01)
        del value
        until(lambda: seen() is None)
        return cache.stats().expirations >= 1

    assert in_child(child) is True


def test_what_is_cleared_in_the_child_is_freed(cache, until):
    def child():
        class Value:
            pass

        value = Value()
        seen = weakref.ref(value)
        cache.set("k", value)
        del value
        cache.clear()
        cache.set("other", 1)
        until(lambda: seen() is None)
        return True

    assert in_child(child) is True


def test_background_loads_run_in_the_child_too(caches):
    cache = caches.service("timed", load_timeout=PATIENCE)
    assert cache.get_or_load("k", lambda: "parent") == "parent"
    assert in_child(lambda: cache.get_or_load("k", lambda: "child")) == "child"


def test_event_loops_run_in_the_child(cache):
    async def use():
        return await asyncio.gather(*(cache.aget_or_load("k", lambda: "child") for _ in range(3)))

    assert in_child(lambda: asyncio.run(use())) == ["child"] * 3


def test_a_child_of_a_child_has_an_empty_cache_too(cache):
    def child():
        cache.set("k", 1)
        return in_child(lambda: (cache.get("k"), cache.get_or_load("k", lambda: 2)))

    assert in_child(child) == (None, 2)


def test_a_closed_manager_stays_closed_in_the_child(caches, cache):
    caches.close()
    with pytest.raises(AssertionError, match="ClosedError"):
        in_child(lambda: cache.set("k", 1))


def test_a_forgotten_manager_does_not_hinder_a_fork():
    CacheManager().global_cache.set("k", 1)
    gc.collect()
    assert in_child(lambda: 1) == 1


SCRIPT = """
import multiprocessing
import sys

import cenote

caches = cenote.CacheManager()
cache = caches.service("etherforce", ttl=60)


@cache.memoize()
def double(number):
    return 2 * number


def work(number, queue):
    before = len(cache)
    queue.put((before, double(number), double(number), len(cache)))


if __name__ == "__main__":
    double(0)
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    processes = [context.Process(target=work, args=(number, queue)) for number in range(3)]
    for process in processes:
        process.start()
    print(sorted(queue.get(timeout=20) for _ in processes))
    for process in processes:
        process.join(20)
        assert process.exitcode == 0
    print(len(cache))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_have_caches_of_their_own(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script), method],
        env={**os.environ, "PYTHONPATH": str(Path(cenote.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "[(0, 0, 0, 1), (0, 2, 2, 1), (0, 4, 4, 1)]\n1\n"
