"""The lock of a shared file: one writer on the machine, whose end always frees it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from cenote import ClearFailedError
from cenote.errors import ReentrantError
from cenote.invalidation.machine import lock as machine_lock
from cenote.invalidation.machine.lock import LOCK_SECONDS, FileLock, LockBusyError
from cenote.testing import History, assert_strict

from .processes import forked, reap, wait_until

HOLD = """
with caches._log.exclusive("a test"):
    connection.send("held")
    connection.recv()
"""


@pytest.fixture
def lock(tmp_path):
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield FileLock(descriptor, "a file", 0.05)
    os.close(descriptor)


@pytest.fixture
def rival(tmp_path, lock):
    """The lock as another process has it: on a descriptor of its own."""
    descriptor = os.open(tmp_path / "file", os.O_RDWR)
    yield FileLock(descriptor, "a file", 0.05)
    os.close(descriptor)


def test_one_holder_at_a_time_and_a_busy_one_is_named(lock, rival):
    with lock, pytest.raises(LockBusyError, match=r"a file was not to be had within 0\.05 seconds"):
        rival.__enter__()
    with rival:
        assert rival.owned
        assert not lock.owned


def test_a_thread_may_take_it_again_and_gives_it_back_with_the_last(lock, rival):
    with lock:
        with lock:
            pass
        assert not rival.take_at_once()
    assert rival.take_at_once()
    rival.give_back()


def test_another_thread_waits_for_it_as_another_process_does(lock):
    seen = []
    with lock:
        thread = threading.Thread(target=lambda: seen.append(lock.take_at_once()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_waiting_for_a_thread_and_then_for_a_process_has_one_deadline(lock, monkeypatch):
    given, moments, begun = [], [100.0, 103.0], threading.Event()

    def note(descriptor, seconds):
        given.append(seconds)
        return True

    def monotonic():
        # Whoever finds another thread there reads it, and again once that has left.
        begun.set()
        return moments.pop(0)

    monkeypatch.setattr(machine_lock, "flock_within", note)
    monkeypatch.setattr(machine_lock, "time", SimpleNamespace(monotonic=monotonic))
    lock._seconds = 20
    with lock:
        waiting = threading.Thread(target=lambda: lock.__enter__().give_back())
        waiting.start()
        assert begun.wait(20)
    waiting.join()
    assert given == [20, 17]


def test_an_interrupt_at_any_moment_leaves_it_free(lock, rival, monkeypatch):
    real = machine_lock.flock_within

    def interrupted(descriptor, seconds):
        assert real(descriptor, seconds)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(machine_lock, "flock_within", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.__enter__()
    with rival, pytest.raises(LockBusyError):
        lock.__enter__()
    with lock:
        pass


def test_a_change_from_inside_a_change_is_refused(open_manager):
    caches = open_manager()
    with caches._log.exclusive("a test"), pytest.raises(ReentrantError):
        caches.service("shop").clear()
    assert caches.service("shop").clear().level == "machine"


def test_sets_and_clears_do_not_wait_for_ever_for_a_stopped_process_and_heal_with_it(open_manager, start):
    other = start()
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", "old")
    other.do("cache.get_or_load('k', lambda: 'old')")
    other.tell(HOLD)
    assert other.receive() == "held"
    other.stop()
    calls = {
        "clear": cache.clear,
        "clear_all": caches.clear_all,
        "tags": lambda: cache.invalidate_tags("t"),
        "set": lambda: cache.set("j", 1),
        "delete": lambda: cache.delete("j"),
    }
    took = {}

    def call(name):
        begin = time.monotonic()
        try:
            calls[name]()
        except ClearFailedError as error:
            took[name] = (time.monotonic() - begin, error)

    threads = [threading.Thread(target=call, args=(name,)) for name in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert took.keys() == calls.keys()
    for name, (seconds, error) in took.items():
        assert seconds < 2 * LOCK_SECONDS, name
        assert isinstance(error, LockBusyError)
    assert {took[name][1].level for name in ("clear", "clear_all", "tags")} == {"process"}
    assert cache.get("k") is None, "the own process was not cleared"
    assert cache.get_or_load("k", lambda: "new") == "new"
    assert cache.get("k") == "new"
    other.resume()
    other.send("go on")
    other.answer()
    assert cache.clear().level == "machine"
    assert other.ask("cache.get('k')") is None


def test_a_killed_holder_leaves_the_lock_free_at_once(open_manager, start):
    other = start()
    caches = open_manager()
    other.tell(HOLD)
    assert other.receive() == "held"
    other.kill()
    begin = time.monotonic()
    assert caches.clear().level == "machine"
    assert time.monotonic() - begin < 2 * LOCK_SECONDS


def test_a_stopped_holder_does_not_keep_others_from_noticing_another_file(start, path):
    holder, other = start(), start()
    other.do("caches.rejoin(); cache.get_or_load('k', lambda: 'old')")
    holder.tell(HOLD)
    assert holder.receive() == "held"
    holder.stop()
    # Long enough for every watcher to have wanted the lock.
    wait_until(lambda: other.ask("caches._log._watcher._turns") >= 16)
    path.unlink()
    begin = time.monotonic()
    wait_until(lambda: other.ask("cache._root.states[cache._index].tables[0].get('k')") is None)
    assert time.monotonic() - begin < LOCK_SECONDS
    holder.resume()
    holder.send("go on")
    holder.answer()


FORKED_IN_THE_LOCK = """
import os
gate = os.open({gate!r}, os.O_RDONLY)
with caches._log.exclusive("a test"):
    child = os.fork()
    if not child:
        os.read(gate, 1)
        os._exit(0)
    connection.send(child)
    connection.recv()
"""


def test_a_child_that_was_forked_amid_a_change_does_not_keep_the_lock_of_its_killed_parent(
    open_manager, start, tmp_path
):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ours = os.open(gate, os.O_RDWR)  # while it is open the child has something to wait for
    parent = start()
    parent.tell(FORKED_IN_THE_LOCK.format(gate=str(gate)))
    child = parent.receive()
    parent.kill()
    os.kill(child, 0)
    caches = open_manager()
    assert caches.clear().level == "machine"
    os.kill(child, 0)
    os.close(ours)


def test_a_child_that_was_forked_beside_a_change_goes_on_by_itself(open_manager):
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", 1)
    inside, leave = threading.Event(), threading.Event()

    def change():
        with caches._log.exclusive("a test"):
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=change)
    thread.start()
    inside.wait(20)
    threading.Timer(0.05, leave.set).start()

    def child():
        assert cache.get("k") is None
        cache.set("k", 2)
        return 0 if cache.clear().level == "machine" and cache.get("k") is None else 1

    assert forked(child) == 0
    thread.join(20)
    assert cache.get("k") is None


READ_AND_STOP = """
from cenote.testing import History
history = History(now)
import threading
stop = threading.Event()
def read():
    while not stop.wait(0.0001):
        history.observe(lambda: cache.get_or_load("k", lambda: history.stamp(1)), cache="shop", key="k")
thread = threading.Thread(target=read)
thread.start()
"""


def test_a_reader_that_is_stopped_across_clears_serves_nothing_old_when_it_goes_on(open_manager, start):
    reader = start(READ_AND_STOP)
    caches = open_manager()
    cache = caches.service("shop")
    history = History(time.monotonic_ns)
    for _ in range(20):
        reader.stop()
        for _ in range(2):
            with history.invalidation(cache="shop"):
                cache.clear()
        reader.resume()
        before = reader.ask("len(history._reads)")
        wait_until(lambda before=before: reader.ask("len(history._reads)") > before)
    reader.do("stop.set(); thread.join()")
    history._reads += reader.ask("history._reads")
    assert len({read.birth for read in history.reads}) >= 20
    assert_strict(history)


def test_a_process_that_was_interrupted_by_a_signal_amid_a_wait_for_the_lock_takes_it_later(open_manager, start):
    other = start()
    caches = open_manager()
    other.tell(HOLD)
    assert other.receive() == "held"

    class Interrupt(BaseException):
        pass

    def interrupt(number, frame):
        raise Interrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(Interrupt):
            caches.clear()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    other.send("go on")
    other.answer()
    assert caches.clear().level == "machine"
    assert other.ask("caches.clear().level") == "machine"


def test_children_of_every_kind_take_part_by_themselves(open_manager, start, url):
    """They are processes of their own, with places of their own, and start with nothing cached."""
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", "parent's")
    children = []
    for _ in range(2):
        pid = os.fork()
        if not pid:
            code = 1
            try:
                if cache.get("k") is None and cache.get_or_load("k", lambda: "child's") == "child's":
                    listed = [process.pid for process in caches.processes()]
                    code = 0 if os.getpid() in listed and os.getppid() in listed else 2
            finally:
                os._exit(code)
        children.append(pid)
    assert [reap(pid) for pid in children] == [0, 0]
    assert cache.get("k") == "parent's"
    wait_until(lambda: len(caches.processes()) == 1)


CHILD = """
import os
from cenote import CacheManager
with CacheManager({url!r}) as caches:
    cache = caches.service("shop")
    assert cache.get_or_load("k", lambda: "child's") == "child's"
    assert {{os.getpid(), {pid}}} <= {{process.pid for process in caches.processes()}}
    assert caches.clear("shop").entries_cleared == 2
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_of_multiprocessing_shares_the_log_however_it_was_started(open_manager, url, method):
    cache = open_manager().service("shop")
    cache.set("k", "parent's")
    child = multiprocessing.get_context(method).Process(target=exec, args=(CHILD.format(url=url, pid=os.getpid()),))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert cache.get("k") is None


@pytest.mark.parametrize("change", ["set", "delete", "clear", "tags", "fill"])
def test_a_change_may_be_the_first_thing_that_a_forked_child_does(open_manager, change):
    cache = open_manager().service("shop")
    cache.set("k", "old")
    changes = {
        "set": lambda: cache.set("k", "new"),
        "delete": lambda: cache.delete("k"),
        "clear": cache.clear,
        "tags": lambda: cache.clear(prefix="k"),
        "fill": lambda: cache.fill("j").set("filled"),
    }

    def child():
        changes[change]()
        os._exit(0)

    assert forked(child) == 0
    assert cache.get("k") == ("old" if change == "fill" else None)
