"""What a read remembers, of its lease and of its State, serves nothing once that lease or State was given up."""

from __future__ import annotations

import os
import signal
import time

import pytest
from tests.waiting import wait_until

from cenote import CacheManager, ClosedError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine import Mirror
from cenote.invalidation.machine.layout import NO_LEASE

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
