"""Connections that end in the middle, machines that are cut off, links that are slow."""

from __future__ import annotations

import hashlib

import pytest
from tests.machine.processes import wait_until

from cenote import ClearFailedError
from cenote.invalidation.network import scripts

pytestmark = [pytest.mark.parametrize("kind", ["valkey"]), pytest.mark.long]

CLEAR = b"$5\r\nclear\r\n"
RENEW = hashlib.sha1(scripts.RENEW.encode()).hexdigest().encode()
FEW_SECONDS = 4.0


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
    trap = site.proxy("a").cut_at(CLEAR, count, way, times=2)
    with pytest.raises(ClearFailedError) as caught:
        site.clear(one)
    assert trap.sprung.is_set()
    assert caught.value.level == "machine"
    assert one.ask("(now() - begin) / 1e9") < FEW_SECONDS
    assert site.clear(one).level == "network"
    for process in (one, other):
        site.leased(process)
    site.warm(one, other)
    site.judge(one, other)


@pytest.mark.parametrize("call", ["cache.clear()", "cache.delete('k')"])
def test_what_a_failed_clear_was_to_take_is_gone_once_the_server_is_back(site, server, apart, call):
    one, other = apart
    log = "cenote:{cenote}:log"
    with server.client() as client:
        before = int(client.hget(log, "head"))
        trap = site.proxy("a").cut_at(CLEAR if "clear" in call else b"$3\r\nkey\r\n", 40, "requests", times=2)
        with pytest.raises(ClearFailedError):
            site.clear(one, call)
        assert trap.sprung.is_set()
        wait_until(lambda: int(client.hget(log, "head")) > before)
    site.warm(one, other)
    site.judge(one, other)


def test_machines_whose_renewals_are_cut_off_have_no_lease_and_delay_a_clear_no_longer(site, apart):
    one, other = apart
    trap = site.proxy("b").cut_at(RENEW, 3, times=1000)
    for _ in range(2):
        result = site.clear(one)
        assert result.level == "network"
        assert result.seconds < site.longest
    assert trap.left < 1000
    site.proxy("b").heal()
    site.leased(other)
    site.warm(other)
    assert site.clear(one).lapsed == ()
    site.judge(one, other)


@pytest.mark.parametrize("ways", [("requests",), ("replies",), ("requests", "replies")])
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
