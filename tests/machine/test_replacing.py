"""The shared file is taken away underneath running processes: nothing old is served after a success."""

from __future__ import annotations

import gc
import shutil
import threading

import pytest

from cenote import CacheManager, ClearFailedError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine.lock import LockBusyError
from cenote.invalidation.machine.log import MachineLog
from cenote.invalidation.machine.membership import Membership
from cenote.testing import History, assert_strict

from .processes import wait_until


def replace_by_nothing(path):
    path.unlink()


def replace_by_garbage(path):
    garbage = path.with_name("garbage")
    garbage.write_bytes(b"garbage " * 1000)
    garbage.chmod(0o600)
    garbage.rename(path)


def replace_by_an_empty_file(path):
    path.unlink()
    path.touch(0o600)


def replace_by_a_copy(path):
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def replace_by_another_namespace(path):
    MachineLog(path.with_name("other"), settle=0).close()
    path.with_name("other").rename(path)


REPLACEMENTS = [
    replace_by_nothing,
    replace_by_garbage,
    replace_by_an_empty_file,
    replace_by_a_copy,
    replace_by_another_namespace,
]

READER = """
import threading
from cenote.testing import History
history = History(now)
stop = threading.Event()
def read():
    while not stop.wait(0.0002):
        history.observe(
            lambda: cache.get_or_load("k", lambda: history.stamp(1)), cache="shop", key="k"
        )
thread = threading.Thread(target=read)
thread.start()
"""

CLEARER = """
from cenote.testing import History
history = History(now)
def clear():
    failed = 0
    while True:
        try:
            with history.invalidation(cache="shop"):
                cache.clear()
        except ClearFailedError as error:
            assert error.level == "process", error
            failed += 1
        else:
            return failed
"""


@pytest.mark.parametrize("replace", REPLACEMENTS)
def test_no_read_is_stale_after_a_clear_that_met_another_file(start, path, replace):
    reader, clearer = start(READER), start(CLEARER)
    before = reader.ask("caches._log.incarnation")
    assert clearer.ask("clear()") == 0
    for _ in range(2):
        replace(path)
        clearer.ask("clear()")
        clearer.ask("clear()")
    reader.do("stop.set(); thread.join()")
    merged = reader.ask("history._reads"), clearer.ask("history._invalidations")
    history = History(int)
    history._reads, history._invalidations = merged
    assert len(history.reads) > 100
    assert sum(each.counts for each in history.invalidations) == 5
    assert_strict(history)
    assert reader.ask("caches._log.incarnation") == clearer.ask("caches._log.incarnation") != before
    assert clearer.ask("cache.clear().level") == "machine"


def test_both_processes_notice_within_the_settling_time_and_share_a_new_file(start, path):
    one, other = start(), start()
    one.do("cache.set('k', 1)")
    other.do("cache.get_or_load('k', lambda: 1)")
    before = one.ask("caches._log.incarnation")
    path.unlink()
    asked = f"caches._log.connected and caches._log.incarnation != {before!r}"
    for process in (one, other):
        wait_until(lambda process=process: process.ask(asked), 1.0)
    assert one.ask("caches._log.incarnation") == other.ask("caches._log.incarnation")
    assert one.ask("cache.get('k')") is other.ask("cache.get('k')") is None
    one.do("cache.get_or_load('k', lambda: 2)")
    other.do("cache.delete('k')")
    assert one.ask("cache.get('k')") is None


@pytest.mark.parametrize("replace", [replace_by_a_copy, replace_by_another_namespace])
def test_a_file_that_comes_from_elsewhere_is_not_attached_to(open_log, path, caplog, replace):
    log = open_log()
    before = log.incarnation
    replace(path)
    assert not log.in_place
    assert open_log().incarnation != before
    assert "was made for another place" in caplog.text


@pytest.fixture
def unattended(monkeypatch):
    """Managers of this process have no watcher, so a test says when they notice."""
    monkeypatch.setattr(MachineLog, "attend", lambda self, listener: None)


@pytest.mark.usefixtures("unattended")
def test_a_clear_says_that_the_file_was_removed_and_empties_its_own_process(open_manager, at_once, path):
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", 1)
    path.unlink()
    for call in (cache.clear, caches.clear_all, lambda: cache.invalidate_tags("t"), lambda: cache.delete("k")):
        with pytest.raises(ClearFailedError, match="removed or replaced") as raised:
            call()
        assert raised.value.level == "process"
    assert cache.get("k") is None
    assert caches.rejoin()
    assert cache.clear().level == "machine"


@pytest.mark.usefixtures("unattended")
def test_a_clear_that_was_written_to_a_file_that_is_gone_is_not_confirmed_by_another_file(open_log, path):
    log = open_log()
    sequence = log.append(Record(kind=RecordKind.CLEAR, cache="shop"))
    path.unlink()
    other = open_log()
    for _ in range(5):
        other.append(Record(kind=RecordKind.CLEAR, cache="films"))
    assert log.rejoin(lambda: None)
    assert log.head >= sequence
    with pytest.raises(ClearFailedError, match="removed or replaced"):
        log.confirm(sequence)


@pytest.mark.usefixtures("unattended", "at_once")
def test_nothing_is_served_while_a_process_waits_to_attach_to_another_file(open_manager, monkeypatch, path):
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", "old")
    waiting, go_on = threading.Event(), threading.Event()

    def slow(self, path):
        waiting.set()
        assert go_on.wait(20)
        raise LockBusyError("the directory")

    path.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Membership, "__init__", slow)
        thread = threading.Thread(target=caches.rejoin)
        thread.start()
        assert waiting.wait(20)
        seen = cache._root.states[cache._index].tables[0].get("k")
        go_on.set()
        thread.join(20)
    assert seen is None
    assert cache.get("k") is None
    assert caches.rejoin()


@pytest.mark.usefixtures("unattended", "at_once")
def test_a_process_whose_new_file_is_locked_by_a_stopped_one_serves_nothing_old(open_manager, monkeypatch, path):
    caches = open_manager()
    cache = caches.service("shop")
    cache.set("k", "old")
    path.unlink()

    def busy(self, name):
        raise LockBusyError(str(path))

    with monkeypatch.context() as patch:
        patch.setattr("cenote.invalidation.machine.services.Services.number", busy)
        assert not caches.rejoin()
    assert cache.get("k") is None
    assert cache.get_or_load("k", lambda: "new") == "new"
    assert caches.rejoin()
    cache.set("k", "newer")
    assert cache.get("k") == "newer"


@pytest.mark.usefixtures("unattended", "at_once")
def test_a_busy_process_attaches_to_another_file_without_waiting_for_itself(open_manager, path):
    caches = open_manager()
    cache = caches.service("shop")
    stop = threading.Event()
    errors = []

    def write():
        while not stop.is_set():
            try:
                cache.set("k", 1)
            except ClearFailedError:
                continue
            except BaseException as error:
                errors.append(error)
                raise

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        path.unlink()
        assert caches.rejoin()
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not errors
    assert cache.clear().level == "machine"


@pytest.mark.usefixtures("unattended", "at_once")
def test_a_bell_hangs_after_another_file_was_attached_to(open_manager, path):
    caches = open_manager()
    path.unlink()
    assert caches.rejoin()
    assert [bell.name for bell in path.parent.glob("*.bell-*")] == ["cenote.cenote.bell-0"]


def test_a_manager_that_is_closed_and_collected_does_not_cost_the_next_one_its_place(url, start):
    first = CacheManager(url)
    word = first._log.word
    first.close()
    with CacheManager(url) as second:
        assert word[0] == second._log.head
        del word, first
        gc.collect()
        other = start()
        assert len(other.ask("[process.pid for process in caches.processes()]")) == 2


def test_a_file_is_mapped_until_the_last_manager_of_a_process_is_closed(open_manager, path):
    one, two = open_manager(), open_manager()
    assert one._log.membership.file is two._log.membership.file
    one.close()
    assert two.service("shop").clear().level == "machine"
    assert len(two.processes()) == 1
