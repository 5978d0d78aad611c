"""The doorbell: what it says is obeyed without asking, and sets ring it together."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network.records import heard, packed_record

RENEWALS = "{peer.name: peer.renewals for peer in caches._log.peers()}"

ABREAST = "{peer.acknowledged for peer in caches._log.peers()} == {caches._log.ledger.head()[1]}"


@pytest.fixture
def pair(site):
    """A process on each of two machines that renew their leases seldom, with a copy of an entry in memory."""
    site.lease = 30.0
    found = site.process("a"), site.process("b")
    # No lease of an earlier incarnation is under way here.
    found[0].do("caches._log.ledger.ripen(caches._log.incarnation)")
    site.spread(*found)
    return found


def renewals(process):
    """Return the number of each machine's last renewal, once what was set before is obeyed everywhere."""
    wait_until(lambda: process.ask(ABREAST))
    return process.ask(RENEWALS)


@pytest.mark.parametrize("way", ["cache.clear()", "cache.delete('k')", "cache.invalidate_tags('t')"])
def test_what_the_bell_says_is_obeyed_and_acknowledged_without_a_renewal(pair, way):
    one, other = pair
    before = renewals(one)
    one.do(way)
    assert other.ask("cache.get('k')") is None
    assert renewals(one) == before
    assert one.ask(ABREAST)


def test_a_machine_that_missed_a_record_asks_for_it(pair, site):
    one, other = pair
    with site.server.client() as client:
        client.client_kill_filter(_type="pubsub")
        one.do("cache.clear()")
    assert other.ask("cache.get('k')") is None
    site.spread(one, other, value="new")
    # The first set rings, and is not asked for yet when the second record comes.
    one.do("cache.set('other', 1); cache.set('another', 1); cache.delete('k')")
    assert other.ask("cache.get('k')") is None
    assert other.ask("cache.get('another')") == 1


def test_sets_are_gathered_and_seen_long_before_a_lease_is_renewed(pair, site):
    one, other = pair
    before = renewals(one)
    one.do("for number in range(300): cache.set('k', number)")
    site.reads(other, 299)
    renewed = {name: count - before[name] for name, count in renewals(one).items()}
    assert 0 < max(renewed.values()) < 300


def test_a_set_after_a_renewal_rings_again(pair, site):
    one, other = pair
    with site.server.client() as client, client.pubsub(ignore_subscribe_messages=True) as bell:
        bell.subscribe(one.ask("caches._log.ledger.channel"))
        bell.get_message(timeout=5.0)
        for number in range(5):
            wait_until(lambda: one.ask(ABREAST))
            one.do(f"cache.set('k', {number})")
            # Long before any lease is renewed.
            assert bell.get_message(timeout=5.0)["data"] == b"set"
            site.reads(other, number)


def test_a_message_is_a_record_of_its_incarnation():
    record = Record(kind=RecordKind.TAGS, cache="shop", covered=("t", "ü"), sequence=1 << 40)
    message = b"c" * 32 + record.sequence.to_bytes(8, "big") + packed_record(record)
    assert heard(message) == ("c" * 32, record)
    with pytest.raises(ValueError, match="too short"):
        heard(message[:40])
