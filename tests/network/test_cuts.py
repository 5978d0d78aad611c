"""Connections that end in the middle, machines that are cut off, links that are slow."""

from __future__ import annotations

import hashlib
import threading

import pytest
from tests.network.proxy import Proxy
from tests.network.servers import Server
from tests.waiting import wait_until

from cenote import ClearFailedError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network import Ledger, Link, scripts

pytestmark = [pytest.mark.servers("valkey"), pytest.mark.long]

CLEAR = b"$5\r\nclear\r\n"
RENEW = hashlib.sha1(scripts.RENEW.encode()).hexdigest().encode()
FEW_SECONDS = 4.0
EVERY_TRY = 1000
"""As often as a request is sent before it is given up, and more: over connections at hand, and new ones."""


@pytest.mark.parametrize(("way", "count"), [("requests", 40), ("replies", 0), ("replies", 30)])
def test_a_clear_that_is_cut_off_in_the_middle_is_asked_for_again(site, apart, way, count):
    one, other = apart
    trap = site.proxy("a").cut_at(CLEAR, count, way)
    result = site.clear(one)
    assert trap.sprung.is_set()
    assert (result.level, result.lapsed) == ("network", ())
    site.judge(one, other)


@pytest.mark.parametrize(("way", "count"), [("requests", 40), ("replies", 30)])
def test_a_clear_that_is_cut_off_time_and_again_fails_soon(site, apart, way, count):
    one, other = apart
    trap = site.proxy("a").cut_at(CLEAR, count, way, times=EVERY_TRY)
    with pytest.raises(ClearFailedError) as caught:
        site.clear(one)
    assert trap.left < EVERY_TRY
    site.proxy("a").heal()
    assert caught.value.level == "machine"
    assert one.ask("(now() - begin) / 1e9") < FEW_SECONDS
    assert site.clear(one).level == "network"
    for process in (one, other):
        site.leased(process)
    site.warm(one, other)
    site.judge(one, other)


ANSWERS = {
    "cache.clear(max_items=2000)": (CLEAR, 3, ["k1", "k2", "other"]),
    "cache.clear(mode='soft')": (CLEAR, 3, ["k1", "k2", "other"]),
    "caches.clear_all()": (b"$9\r\nclear_all\r\n", 3, ["k1", "k2", "other"]),
    "cache.clear(tags=['t'])": (b"$4\r\ntags\r\n", 2, ["k1", "other"]),
    "cache.clear(prefix='k')": (b"$6\r\nprefix\r\n", 2, ["k1", "k2"]),
    "cache.clear(prefix='k', max_items=1)": (b"$6\r\nprefix\r\n", 2, ["k1"]),
}


@pytest.fixture
def filled(site):
    """A process that reaches the server through a proxy, has a lease and has stored three entries."""
    one = site.process("a", base=site.proxy("a").url)
    site.leased(one)
    one.do("for key, tags in (('k1', ['t']), ('k2', []), ('other', ['t'])): cache.set(key, 'old', tags=tags)")
    return one


@pytest.mark.parametrize("call", ANSWERS)
def test_a_clear_whose_answer_was_lost_says_what_it_took(site, filled, call):
    pattern, count, items = ANSWERS[call]
    trap = site.proxy("a").cut_at(pattern, 0)
    filled.do(f"result = {call}")
    assert trap.sprung.is_set()
    assert filled.ask("(result.level, result.entries_cleared)") == ("network", count)
    assert sorted(filled.ask("result.cleared_items")) == items
    assert len(filled.ask("result.acknowledged")) == 1


@pytest.mark.parametrize(("call", "answer"), [("cache.delete('k1')", True), ("cache.invalidate_tags('t')", 2)])
def test_an_invalidation_whose_answer_was_lost_is_written_once_and_says_what_it_took(
    server, site, filled, call, answer
):
    with server.client() as client:
        before = int(client.hget("cenote:{cenote}:log", "head"))
        trap = site.proxy("a").cut_at(b"$3\r\nkey\r\n" if "delete" in call else b"$4\r\ntags\r\n", 0)
        assert filled.ask(call) == answer
        assert trap.sprung.is_set()
        assert int(client.hget("cenote:{cenote}:log", "head")) == before + 1


def test_a_clear_whose_answer_was_lost_says_so_after_others_have_invalidated_more(site, filled):
    other = site.process("b", "from cenote.invalidation.log import Record, RecordKind")
    trap = site.proxy("a").cut_at(CLEAR, 0, then_hold=True)
    filled.tell("result = cache.clear()")
    assert trap.sprung.wait(FEW_SECONDS)
    other.do("for n in range(100): caches._log.append(Record(kind=RecordKind.KEY, cache='shop', covered=(f'k{n}',)))")
    other.do("cache.set('new', 1)")
    site.proxy("a").flow()
    filled.answer()
    assert filled.ask("result.entries_cleared") == 3
    site.reads(other, 1, "new")


def test_answers_that_nobody_asked_for_again_are_forgotten_by_and_by(server, filled):
    filled.do("for n in range(500): cache.set('k', n); cache.delete('k')")
    filled.do("for n in range(1100): cache.set(f'many{n}', n)")
    assert filled.ask("cache.clear(max_items=5000).entries_cleared") == 1103
    with server.client() as client:
        log = client.hgetall("cenote:{cenote}:log")
    kept = {field: value for field, value in log.items() if field.startswith((b"d:", b"o:"))}
    assert len(kept) == 2 * 128
    assert max(map(len, kept.values())) < 10_000


def test_a_clear_whose_answer_was_lost_is_not_done_before_the_replicas_know_of_it(server, kind):
    with Proxy(server) as wire, Proxy(server) as proxy, Server(kind) as replica:
        replica.follow(wire)
        ledger = Ledger(Link(proxy.url, "shop", answer=FEW_SECONDS), "shop")

        def clear(**known):
            return ledger.record(Record(kind=RecordKind.CLEAR, cache="s"), replicas=1, patience=0.2, **known)

        last = clear(incarnation=clear().incarnation)
        assert (last.sequence, last.told) == (1, 1)
        wire.hold()
        trap = proxy.cut_at(CLEAR, 0)
        last = clear(incarnation=last.incarnation, generation=1)
        assert trap.sprung.is_set()
        assert (last.sequence, last.told) == (2, 0)
        wire.flow()
        trap = proxy.cut_at(CLEAR, 0)
        last = clear(incarnation=last.incarnation, generation=2)
        assert trap.sprung.is_set()
        assert (last.sequence, last.told) == (3, 1)
        ledger.link.close()


def test_an_incarnation_begun_anew_by_one_who_asks_again_has_another_name(server):
    with Proxy(server) as proxy, server.client() as client:
        ledger = Ledger(Link(proxy.url, "shop", answer=FEW_SECONDS), "shop")
        client.script_load(scripts.RENEW)
        trap = proxy.cut_at(RENEW, 0, then_hold=True)
        found = []
        asking = threading.Thread(
            target=lambda: found.append(ledger.renew("m", "", -1, lease=1.0, unverified=0.0, replicas=0, patience=0.0))
        )
        asking.start()
        assert trap.sprung.wait(FEW_SECONDS)
        begun = client.hget(ledger.log_key, "inc").decode()
        client.flushall(asynchronous=False)
        client.script_load(scripts.RENEW)
        proxy.flow()
        asking.join(FEW_SECONDS)
        assert found[0].incarnation not in (begun, "")
        ledger.link.close()


@pytest.mark.parametrize("call", ["cache.clear()", "cache.delete('k')"])
def test_what_a_failed_clear_was_to_take_is_gone_once_the_server_is_back(site, server, apart, call):
    one, other = apart
    log = "cenote:{cenote}:log"
    with server.client() as client:
        before = int(client.hget(log, "head"))
        trap = site.proxy("a").cut_at(CLEAR if "clear" in call else b"$3\r\nkey\r\n", 40, "requests", times=EVERY_TRY)
        with pytest.raises(ClearFailedError):
            site.clear(one, call)
        assert trap.left < EVERY_TRY
        site.proxy("a").heal()
        wait_until(lambda: int(client.hget(log, "head")) > before)
    site.warm(one, other)
    site.judge(one, other)


def test_machines_whose_renewals_are_cut_off_have_no_lease_and_delay_a_clear_no_longer(site, apart):
    one, other = apart
    trap = site.proxy("b").cut_at(RENEW, 3, times=1000)
    wait_until(lambda: trap.left < 1000)
    for _ in range(2):
        result = site.clear(one)
        assert result.level == "network"
        assert result.seconds < site.longest
    site.proxy("b").heal()
    site.leased(other)
    site.warm(other)
    assert site.clear(one).lapsed == ()
    site.judge(one, other)


@pytest.mark.parametrize(
    ("kind", "ways"),
    [*(("valkey", ways) for ways in (("requests",), ("replies",), ("requests", "replies"))), ("redis", ("replies",))],
)
def test_a_clear_waits_for_a_machine_that_is_cut_off_until_its_lease_is_over(site, apart, ways):
    one, other = apart
    site.proxy("b").hold(*ways)
    result = site.clear(one)
    assert result.level == "network"
    assert result.seconds < site.longest
    assert [name.rpartition("-")[2] for name in result.lapsed] == [site.member("b")]
    assert other.ask("cache.get('k')") is None
    site.proxy("b").flow()
    site.leased(other)
    site.warm(other)
    assert site.clear(one).lapsed == ()
    site.judge(one, other)


def test_a_machine_that_is_cut_off_can_clear_nothing_but_itself_and_says_so_soon(site, apart):
    one, other = apart
    site.proxy("b").hold()
    with pytest.raises(ClearFailedError) as caught:
        site.clear(other)
    assert caught.value.level == "machine"
    assert other.ask("(now() - begin) / 1e9") < FEW_SECONDS
    site.proxy("b").flow()
    assert site.clear(other).level == "network"
    site.judge(one, other)


def test_a_clear_waits_for_a_slow_machine(site, apart):
    one, other = apart
    site.proxy("b").delay = 0.03
    for process in (one, other, one):
        result = site.clear(process)
        assert result.level == "network"
        assert result.seconds < site.longest
    site.judge(one, other)


def test_copies_are_served_again_once_connections_were_dropped(site, apart):
    one, other = apart
    for machine in "abab":
        site.proxy(machine).drop()
        assert site.clear(one).level == "network"
    site.warm(one, other)
    site.judge(one, other)
