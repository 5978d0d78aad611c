"""What a read remembers, of its lease and of its State, serves nothing once that lease or State was given up."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from tests.waiting import wait_until

from cenote import CacheManager, ClosedError
from cenote.clock import lease_clock
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine import Mirror
from cenote.invalidation.machine.layout import NO_LEASE
from cenote.state import LEFT

pytestmark = pytest.mark.parametrize("kind", ["valkey"])


@pytest.fixture
def mirror(tmp_path):
    """A mirror that follows an incarnation from its third record on."""
    found = Mirror(tmp_path / "log")
    found.begin("1" * 32, 3, {}, (0, 0))
    yield found
    found.close()


@pytest.fixture
def caches(server, tmp_path):
    """A manager of which the cache "shop" has the key "k" in memory."""
    with CacheManager(f"{server.url}?dir={tmp_path}&lease=5") as found:
        cache = found.service("shop")
        cache.set("k", "old")
        wait_until(lambda: cache.get("k") == "old" and "k" in cache._core.state.tables[0])
        assert cache.get("k") == "old"
        yield found


def test_a_copy_is_not_served_once_its_machine_has_left_though_the_lease_would_last(site):
    site.lease = 5.0
    one, other = site.process("a"), site.process("b")
    site.mature(one)
    site.spread(one, other)
    other.do("caches._log._attendance.look = lambda: None")  # nobody starts another agent
    os.kill(site.agent("b"), signal.SIGTERM)
    wait_until(lambda: len(one.ask("caches._log.machines()")) == 1)
    begin = time.monotonic()
    one.do("result = cache.clear()")
    assert time.monotonic() - begin < site.lease / 2
    assert one.ask("result.lapsed") == ()
    assert other.ask("cache.get('k')") is None


def test_a_clear_waits_for_who_has_a_mirror_open_that_its_agent_did_not_live_to_withdraw(site, stopped):
    site.lease = 3.0
    one, other, beside = site.process("a"), site.process("b"), site.process("b")
    site.mature(one)
    site.spread(one, other)
    former = site.agent("b")
    site.outlast(one)
    assert other.ask("cache.get('k')") == "old"
    stopped(other.pid)
    os.kill(former, signal.SIGKILL)
    (mirror,) = site.directory("b").glob("*.cenote")
    mirror.unlink()
    beside.do("caches._log.look_after()")
    site.agent("b", but=former)
    site.leased(beside)
    one.do("result = cache.clear()")
    assert len(one.ask("result.lapsed")) == 1
    os.kill(other.pid, signal.SIGCONT)
    assert other.ask("cache.get('k')") is None


def test_reads_compare_the_head_only_while_a_lease_was_not_withdrawn(mirror, kind):
    parts = mirror._parts
    assert parts.leased[0] == NO_LEASE
    mirror.publish(10.0)
    assert parts.leased[0] == mirror.head == 3
    mirror.apply([Record(kind=RecordKind.CLEAR, cache="shop", sequence=4)])
    assert parts.leased[0] == mirror.head == 4
    mirror.withdraw()
    mirror.apply([Record(kind=RecordKind.CLEAR, cache="shop", sequence=5)])
    assert (parts.leased[0], parts.deadline[0], mirror.head) == (NO_LEASE, 0.0, 5)


def test_no_lease_ends_before_one_that_reads_may_remember(mirror, kind):
    parts = mirror._parts
    mirror.publish(10.0)
    mirror.withdraw()
    mirror.publish(9.9)
    assert (parts.leased[0], parts.deadline[0]) == (NO_LEASE, 0.0)
    mirror.publish(10.1)
    assert (parts.leased[0], parts.deadline[0]) == (3, 10.1)


def test_a_deadline_of_a_clock_that_has_begun_anew_keeps_no_lease_away(mirror, tmp_path, kind):
    mirror.publish(lease_clock() + 7200)
    mirror.close()
    again = Mirror(tmp_path / "log")
    again.begin("1" * 32, 3, {}, (0, 0))
    again.publish(lease_clock() + 1)
    assert again._parts.leased[0] == 3
    again.close()


def test_nothing_is_served_from_a_cache_that_was_switched_off(caches):
    cache = caches.service("shop")
    cache.enabled = False
    assert cache.get("k") is None


def test_nothing_is_served_from_a_cache_that_was_closed(caches):
    cache = caches.service("shop")
    caches.close()
    with pytest.raises(ClosedError):
        cache.get("k")


def test_nothing_is_served_from_memory_that_a_process_has_forgotten(caches):
    cache = caches.service("shop")
    core = cache._core
    core.state.tables[0]["k"].value = "what memory had"
    assert cache.get("k") == "what memory had"
    with core.lock:
        core.forget()
        assert cache.get("k", "nothing") == "nothing"  # who holds the lock asks no server
    assert cache.get("k") == "old"


def test_a_swap_that_is_interrupted_leaves_a_cache_that_serves(caches):
    cache = caches.service("shop")
    root = cache._core.root

    class CutError(Exception):
        pass

    def interrupt(frame, event, argument):
        if event == "line" and frame.f_code.co_name == "replace":
            frame.f_trace_lines = True
            lines.append(frame.f_lineno)
            if len(lines) == after:
                raise CutError
        return interrupt

    state = cache._core.state
    for after in range(1, 30):
        lines = []
        sys.settrace(interrupt)
        try:
            root.replace({cache._index: state.softened(state.soft_floor)})
        except CutError:
            pass
        finally:
            sys.settrace(None)
        assert root.states[cache._index].word is not LEFT
        assert cache.get("k") == "old"
        state = cache._core.state
        if len(lines) < after:
            break
    assert after > 5
