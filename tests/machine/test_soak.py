"""Processes and threads at once do everything to shared caches while some are killed, and the checker judges it all."""

from __future__ import annotations

import time

from cenote.testing import History, check

from .soak import soak


def test_no_read_of_busy_processes_is_stale_though_some_are_killed():
    report = soak(18, processes=4, threads=4)
    assert not report.failed, str(report)
    assert not report.violations, str(report)
    assert report.reads > 50_000, str(report)
    assert report.invalidations > 500, str(report)
    assert report.kills > 3, str(report)


def test_the_soak_finds_a_cache_that_does_not_ask_what_others_invalidated():
    report = soak(4, processes=2, threads=2, broken=True, reads=500_000)
    assert not report.failed, str(report)
    assert report.violations


HEAD_FIRST = """
from cenote.invalidation.machine.layout import Word
from cenote.invalidation.machine.log import MachineLog
write = MachineLog._write
def head_first(self, joined, kind, written, last):
    joined.file.words[Word.HEAD] = last
    connection.send("between the stores")
    connection.recv()
    write(self, joined, kind, written, last)
MachineLog._write = head_first
"""

TRUSTING = """
from cenote.invalidation.machine.log import MachineLog
MachineLog._are_counted = staticmethod(lambda joined, head: True)
"""

RECORD_FIRST = """
from cenote.invalidation.machine.log import MachineLog
raise_head = MachineLog._raise_head
def held(joined, last):
    connection.send("between the stores")
    connection.recv()
    raise_head(joined, last)
MachineLog._raise_head = staticmethod(held)
"""


def judge_a_writer_held_between_its_stores(start, how, action, reads=""):
    """Return the violations of a reader that reads while the writer is held, and again when it is done."""
    reader, writer = start(reads), start(how)
    reader.do("caches.clear(); from cenote.testing import History; history = History(now)")
    load = "cache.get_or_load('k', lambda: history.stamp(1), tags=['t'])"
    read = f"history.observe(lambda: {load}, cache='shop', key='k')"
    reader.do(read)
    history = History(time.monotonic_ns)
    with history.invalidation(cache="shop", keys=["k"]):
        writer.tell(action)
        assert writer.receive() == "between the stores"
        reader.do(read)
        writer.send("go on")
        writer.answer()
    reader.do(read)
    history._reads += reader.ask("history._reads")
    assert len(history.reads) == 3
    return check(history)


def test_the_checker_finds_a_head_that_is_written_before_its_record(start):
    action = "cache.invalidate_tags('t')"
    (violation,) = judge_a_writer_held_between_its_stores(start, HEAD_FIRST, action, TRUSTING)
    assert violation.read.key == "k"


def test_a_reader_that_sees_a_head_before_its_record_forgets_everything(start):
    assert not judge_a_writer_held_between_its_stores(start, HEAD_FIRST, "cache.invalidate_tags('t')")


def test_a_reader_that_meets_a_writer_between_its_stores_obeys_it_when_it_is_done(start):
    for action in ("cache.invalidate_tags('t')", "cache.delete('k')", "cache.clear()", "caches.clear_all()"):
        assert not judge_a_writer_held_between_its_stores(start, RECORD_FIRST, action)
