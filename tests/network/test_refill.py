"""Refills over machines: every machine that obeys a paced clear paces its loads, and all share the rate."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

from cenote import Refill
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine.ring import fitted
from cenote.invalidation.network.records import heard, packed_record, unpacked_record
from cenote.refills import RefillOrder

SLOW = "Refill(0.001, wait_seconds=600, max_seconds=900)"
WAIT = """
import threading
done = []
threading.Thread(target=lambda: done.append(cache.get_or_load('cold', lambda: 'new')), daemon=True).start()
"""
WAITING = "cache._core.pace is not None and cache._core.pace.status().waiting"


@pytest.fixture
def paced(two):
    """Two machines that know of each other, behind a paced clear that the first one made."""
    for process in two:
        process.do("from cenote import Refill; cache.get('k'); caches.stats()")
        wait_until(lambda process=process: process.ask("caches._log.membership.members") == 2)
    two[0].do(f"result = cache.clear(refill={SLOW})")
    return two


def test_every_machine_paces_its_loads_and_serves_nothing_old_meanwhile(paced):
    one, other = paced
    assert [each.ask("cache.get('k')") for each in paced] == [None, None]
    other.do(WAIT)
    wait_until(lambda: other.ask(WAITING) == 1)
    assert other.ask("cache.refill.clear_id") == one.ask("result.clear_id")
    one.do("cache.clear()")
    wait_until(lambda: other.ask("done") == ["new"])
    assert other.ask("cache.get('cold')") == "new"


def test_machines_share_the_rate_and_the_processes_of_each_do(paced, site):
    one, other = paced
    assert [each.ask("cache.get('k'), cache._core.pace.rate")[1] for each in paced] == [0.0005, 0.0005]
    late = site.process("b")
    late.do("cache.get('k'); caches.stats()")
    assert late.ask("cache._core.pace._learn(), cache._core.pace.rate")[1] == 0.00025
    assert other.ask("cache._core.pace._learn(), cache._core.pace.rate")[1] == 0.00025
    assert one.ask("cache._core.pace._learn(), cache._core.pace.rate")[1] == 0.0005


def test_a_machine_lets_its_own_hottest_keys_through_first(two):
    one, other = two
    for process in two:
        process.do("from cenote import Refill")
    for _ in range(3):
        other.do("cache.get('k')")
    one.do(f"cache.clear(refill={SLOW})")
    assert other.ask("cache.get('k')") is None
    assert (0, "k") in other.ask("list(cache._core.pace._rates)")


def test_a_refill_is_stopped_on_all_machines(paced):
    one, other = paced
    other.do(WAIT)
    wait_until(lambda: other.ask(WAITING) == 1)
    one.do("cache.stop_refill()")
    wait_until(lambda: other.ask("done") == ["new"])
    assert other.ask("cache._core.pace.ended_by") == "stopped"
    wait_until(lambda: one.ask("cache.get('cold')") == "new")


def test_a_process_that_comes_later_takes_part(paced, site):
    one, _ = paced
    late = site.process("b", "cache.get('k')")
    assert late.ask("cache._core.pace.running")
    one.do("cache.stop_refill()")
    wait_until(lambda: not late.ask("cache._core.pace.running"))
    assert site.process("b", "cache.get('k')").ask("cache._core.pace") is None


def test_a_clear_of_everything_paces_all_caches(two):
    one, other = two
    one.do("from cenote import Refill")
    other.do("caches.service('other').get('k')")
    one.do(f"caches.clear_all(refill={SLOW})")
    other.do("cache.get('k'); caches.service('other').get('k'); caches.global_cache.get('k')")
    assert other.ask("[each.refill.running for each in (cache, caches.service('other'), caches.global_cache)]") == [
        True,
        True,
        True,
    ]


def test_reads_behind_paced_clears_are_as_strict_as_any(site):
    one, other = site.process("a", "from cenote import Refill"), site.process("b")
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
    site.witness(one, other)
    for clear in ("cache.clear", "caches.clear_all", "cache.clear"):
        scope = "everything=True" if clear.endswith("all") else "cache='shop'"
        one.do(f"with history.invalidation({scope}): {clear}(refill=Refill(5, wait_seconds=60))")
        # Each waits for its turn to load, and is then served what it loaded.
        site.warm(one, other)
    assert sum(process.ask("cache.refill.admitted") for process in (one, other)) > 0
    site.judge(one, other)


# What records say

ORDER = RefillOrder(Refill(12.5, 100, 3, "error"), "receipt", 1_000_000.25)


@pytest.mark.parametrize("kind", [RecordKind.CLEAR, RecordKind.CLEAR_ALL])
@pytest.mark.parametrize("order", [ORDER, None])
def test_the_record_of_a_clear_carries_the_refill(kind, order):
    (record,) = fitted(Record(kind=kind, cache="shop", refill=order))
    message = b"c" * 32 + (7).to_bytes(8, "big") + packed_record(record)
    assert heard(message)[1].refill == unpacked_record(packed_record(record)).refill == order
    assert heard(message)[1] == record.at(7)


def test_the_record_of_an_older_version_is_read_without_a_refill():
    for kind, number in ((RecordKind.CLEAR, 0), (RecordKind.CLEAR_ALL, 1)):
        old = bytes([1, number, 0]) + (4).to_bytes(4, "little") + b"shop"
        record = unpacked_record(old)
        assert (record, record.refill) == (Record(kind=kind, cache="shop"), None)
    later = old + (5).to_bytes(4, "little") + b"2 new"
    assert unpacked_record(later).refill is None
