"""Writers are killed at any moment, a thousand times, and the others go on with a whole log and right figures."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import time

import pytest
from tests.waiting import wait_until

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine.census import MachineCensus
from cenote.invalidation.machine.file import forget_inherited
from cenote.invalidation.machine.layout import RECORDS as RING
from cenote.invalidation.machine.layout import Counter, Word
from cenote.invalidation.machine.lock import LOCK_SECONDS
from cenote.invalidation.machine.log import MachineLog
from cenote.invalidation.machine.processes import Processes
from cenote.meters import Meters
from cenote.stats import CacheStats

from .processes import forked

KILLS = 1000
RECORDS = [
    Record(kind=RecordKind.KEY, cache="shop", covered=("key",)),
    Record(kind=RecordKind.KEY, cache="shop", covered=("long key " * 40,)),
    Record(kind=RecordKind.TAGS, cache="shop", covered=tuple(f"tag {number:40}" for number in range(20))),
    Record(kind=RecordKind.PREFIX, cache="films", covered=("prefix",)),
    Record(kind=RecordKind.CLEAR, cache="shop"),
    Record(kind=RecordKind.CLEAR, cache="films", soft=True),
    Record(kind=RecordKind.CLEAR_ALL),
]


def write_until_killed(path, said, chances):
    """Attach, count one hit, and append records for ever."""
    forget_inherited()
    log = MachineLog(path, settle=0)
    joined = log.membership
    counters = joined.place.counters(joined.services.number("shop"))
    os.write(said, b"a")
    counters[Counter.HITS] = 1
    os.write(said, b"b")
    while True:
        log.append(chances.choice(RECORDS))
        if chances.random() < 0.05:
            with joined.file.lock:
                joined.processes.reclaim()


def said_until_a_moment(log, heard, chances, *, writing):
    """Return what a writer says until some moment of its writing, however long it takes to attach, or before that."""
    if not writing:
        select.select([heard], [], [], chances.random() * 0.004)
        return b""
    told = b""
    while not told.endswith(b"b"):
        told += os.read(heard, 1)
    amid = log.head + chances.randrange(400)
    wait_until(lambda: log.head >= amid)
    return told


@pytest.mark.long
def test_a_thousand_kills_leave_no_hole_no_lock_and_no_wrong_figure(open_log):
    log = open_log()
    own = log.membership
    number = own.services.number("shop")
    heard, said = os.pipe()
    chances = random.Random(8)
    seen = whole = 0
    longest = 0.0
    counted = b""
    for kill in range(KILLS):
        pid = os.fork()
        if not pid:
            try:
                write_until_killed(log.path, said, random.Random(kill))
            finally:
                os._exit(1)
        counted += said_until_a_moment(log, heard, chances, writing=bool(kill % 3))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        while select.select([heard], [], [], 0)[0]:
            counted += os.read(heard, 1)
        counted += b"."
        begin = time.monotonic()
        last = log.append(RECORDS[kill % 2])
        longest = max(longest, time.monotonic() - begin)
        records = log.since(seen)
        whole += records is not None
        if records is None:
            # Where the machine was too busy to kill in time: the ring has come around.
            assert last - seen >= RING, "records are missing"
        else:
            assert [record.sequence for record in records] == list(range(seen + 1, last + 1))
            news = [each for each in records if each.cache == "shop" or not each.cache]
            assert log.news("shop", seen).records == news
        seen = last
    os.close(said)
    os.close(heard)
    with own.file.lock:
        own.processes.reclaim()
    hits = own.processes.sums(number)[Counter.HITS]
    assert counted.count(b"b") <= hits <= counted.count(b"a")
    assert counted.count(b"b") > KILLS / 2, "most were killed before they were attached"
    assert own.processes.living() == [own.place.number]
    assert seen > KILLS
    assert whole > KILLS * 0.9
    assert longest < LOCK_SECONDS
    assert open_log().floor("shop", soft=False) == log.floor("shop", soft=False)


class Killed(BaseException):
    """The process that folds dies here."""


class DyingMap:
    """The words or bytes of a file, for a process that dies at its nth store, of both together."""

    def __init__(self, map_, left):
        self._map, self._left = map_, left

    def __getitem__(self, at):
        return self._map[at]

    def __setitem__(self, at, value):
        if not self._left[0]:
            raise Killed
        self._left[0] -= 1
        self._map[at] = value


class DyingFile:
    """A file as such a process sees it."""

    def __init__(self, file, stores):
        left = [stores]
        self.words, self.bytes = DyingMap(file.words, left), DyingMap(file.bytes, left)
        self.path, self.places, self.descriptor, self.lock = file.path, file.places, file.descriptor, file.lock


def test_a_fold_that_is_cut_off_after_any_store_neither_loses_nor_doubles_a_count(open_log):
    log = open_log()
    joined = log.membership
    joined.services.number("shop")
    number = joined.services.number("shop")
    expected = 0
    for stores in range(8):
        for _ in range(3):

            def count():
                forget_inherited()
                own = MachineLog(log.path, settle=0).membership
                own.place.counters(number)[Counter.HITS] = 5
                own.place.measured(Meters(calls=5, owed=1).words())
                os._exit(0)

            assert forked(count) == 0
            expected += 5
        for _ in range(2):
            dying = Processes(DyingFile(joined.file, stores))
            with joined.file.lock, contextlib.suppress(Killed):
                dying.reclaim()
            assert joined.processes.sums(number)[Counter.HITS] == expected
            assert (log.census.meters().calls, log.census.meters().owed) == (expected, 0)
    with joined.file.lock:
        joined.processes.reclaim()
    assert joined.processes.sums(number)[Counter.HITS] == log.census.meters().calls == expected
    assert len(joined.processes.living()) == 1


def test_a_fold_that_was_cut_off_is_ended_before_another_place_is_folded(open_log):
    log = open_log()
    joined = log.membership
    number = joined.services.number("shop")
    leaving = open_log()
    leaving.membership.place.counters(number)[Counter.HITS] = 3

    def count():
        forget_inherited()
        MachineLog(log.path, settle=0).membership.place.counters(number)[Counter.HITS] = 5
        os._exit(0)

    assert forked(count) == 0
    dying = Processes(DyingFile(joined.file, 3))
    with joined.file.lock, pytest.raises(Killed):
        dying.reclaim()
    leaving.close()
    with joined.file.lock:
        joined.processes.reclaim()
    assert joined.processes.sums(number)[Counter.HITS] == 8


def test_a_place_whose_number_comes_again_is_not_taken_for_folded(open_log):
    log = open_log()
    joined = log.membership
    number = joined.services.number("shop")
    for expected in (5, 10, 15):
        other = open_log()
        assert other.membership.place.number == 1
        other.membership.place.counters(number)[Counter.HITS] = 5
        assert joined.processes.sums(number)[Counter.HITS] == expected
        other.close()
        assert joined.processes.sums(number)[Counter.HITS] == expected
        assert joined.file.words[Word.FOLD] >> 1 & 127 == 1


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_sums_of_all_who_ever_counted(open_log, seed):
    chances = random.Random(seed)
    log = open_log()
    census = log.census
    assert isinstance(census, MachineCensus)
    own = CacheStats()
    assert census.total("shop", own).hits == 0
    expected = 0
    others = []
    for _ in range(40):
        if others and chances.random() < 0.4:
            others.pop(chances.randrange(len(others)))[0].close()
        else:
            others.append([open_log(), 0])
        if others:
            each = chances.choice(others)
            more = chances.randrange(100)
            each[1] += more
            expected += more
            each[0].census.report("shop", CacheStats(hits=each[1]))
        assert census.total("shop", own).hits == expected
