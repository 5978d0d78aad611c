"""Two managers of one store under forced thread switches: to each other they are two processes."""

from __future__ import annotations

import itertools
import shutil
from typing import ClassVar

import pytest
from tests.machine.test_schedules import Machine

from cenote import (
    claiming,
    clearing,
    copying,
    core,
    figures,
    following,
    holding,
    keeper,
    loading,
    operations,
    selecting,
    sharing,
    telling,
)
from cenote.codecs import Codec
from cenote.invalidation.claims import UNCLAIMED, Taken
from cenote.invalidation.machine import census
from cenote.invalidation.machine.claims import MachineClaims
from cenote.invalidation.machine.log import MachineLog
from cenote.testing import Scenario, explore

MODULES = [
    claiming,
    clearing,
    copying,
    core,
    figures,
    following,
    holding,
    loading,
    operations,
    selecting,
    sharing,
    telling,
]
WAYS = ["clear", "clear_all", "delete", "tags", "prefix", "function", "soft"]
SEEDS = range(15)


@pytest.fixture(autouse=True)
def no_threads(monkeypatch, at_once):
    """Threads that are not the scheduler's to order stay away, and nobody waits for them."""
    monkeypatch.setattr(keeper.keeper, "watch", lambda _core: None)
    monkeypatch.setattr(keeper.keeper, "notice", lambda: None)
    monkeypatch.setattr(MachineLog, "attend", lambda self, listener: None)
    monkeypatch.setattr(census, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr("cenote.manager.MsgpackCodec", Keeping)
    # Copies are made at once, not from the second read on.
    monkeypatch.setattr(sharing.Sharing, "first_value", lambda self, state, key: (False, None))
    monkeypatch.setattr(sharing.Sharing, "met_before", lambda self, slot, key: True)
    # Who waits for another process's load sleeps, and the scheduler would sleep with it.
    monkeypatch.setattr(MachineClaims, "take", lambda self, *arguments, **named: Taken(UNCLAIMED, stored=True))


class Keeping(Codec):
    """Keeps the very values, which know when they were born, and writes their numbers."""

    values: ClassVar[list] = []

    def encode(self, value, annotation):
        self.values.append(value)
        return str(len(self.values) - 1).encode()

    def decode(self, payload, annotation):
        return self.values[int(payload)]


class Disk(Machine):
    """Two processes of one store; what the scheduler does not order, the lock of the file, it waits for."""

    def close(self):
        directory = self.one.caches._log.path.parent
        self.one.caches.close()
        self.other.caches.close()
        shutil.rmtree(directory)


@pytest.fixture
def disk_of(url):
    numbers = itertools.count()

    def disk_of():
        return Disk(f"{url}/{next(numbers)}?max_bytes=1048576")

    return disk_of


@pytest.mark.parametrize("way", WAYS)
def test_no_schedule_of_loads_here_and_an_invalidation_there_serves_an_old_value(disk_of, way):
    def scenario():
        both = disk_of()
        return Scenario([both.one.reads(1), both.one.gets(1), both.other.empties(way)], both.after)

    explore(scenario, modules=MODULES, seeds=SEEDS)


@pytest.mark.parametrize("way", WAYS)
def test_no_schedule_of_reads_of_the_file_and_an_invalidation_there_serves_an_old_value(disk_of, way):
    def scenario():
        both = disk_of()
        both.other.reads(1)()
        return Scenario([both.one.gets(3), both.one.reads(1), both.other.empties(way)], both.after)

    explore(scenario, modules=MODULES, seeds=SEEDS)


@pytest.mark.parametrize("way", WAYS)
def test_no_schedule_of_overwrites_and_fills_on_both_sides_serves_an_old_value(disk_of, way):
    def scenario():
        both = disk_of()
        threads = [both.one.sets(), both.one.fills(), both.one.gets(1), both.other.empties(way)]
        return Scenario(threads, both.after)

    explore(scenario, modules=MODULES, seeds=SEEDS)


def _record_first(core_, state, scope, *, soft, tally):
    """Takes entries out of the file after the record is written."""
    sequences = [core_.log.append(record) for record in scope.records(core_.name, soft=soft)]
    covered = selecting._shared_by(core_, state, scope)
    selecting._take_out_shared(core_, state, covered, soft=soft, tally=tally, sequence=sequences[-1])
    return sequences


def test_the_scheduler_finds_a_cache_that_takes_entries_out_of_the_file_after_the_record(disk_of, monkeypatch):
    monkeypatch.setattr(selecting, "_write", _record_first)

    def scenario():
        both = disk_of()
        both.other.reads(1)()
        both.one.gets(1)()

        def invalidate():
            with both.history.invalidation(cache="shared", tags=["t"]):
                both.other.cache.invalidate_tags("t")

        return Scenario([both.one.gets(3), both.one.gets(3), invalidate], both.after)

    with pytest.raises(AssertionError, match="strict clear broken"):
        explore(scenario, modules=[copying, core, operations, selecting, sharing, __file__], seeds=range(300))
