"""A request that its sender gave up, and that the server obeys later all the same."""

from __future__ import annotations

import hashlib
import os
import signal

import pytest

from cenote import ClearFailedError
from cenote.invalidation.network import Ledger, Link, scripts

pytestmark = [pytest.mark.parametrize("kind", ["valkey"]), pytest.mark.long]

WAYS = [
    "cache.delete('x')",
    "cache.invalidate_tags('x')",
    "cache.clear(prefix='x')",
    "cache.clear()",
    "cache.set('x', 'new')",
]


@pytest.mark.parametrize("way", WAYS)
def test_a_set_that_arrives_late_brings_nothing_back(site, apart, way):
    one, other = apart
    trap = site.proxy("a").keep_back(b"the late one")
    with pytest.raises(ClearFailedError):
        one.do("cache.set('x', 'the late one', tags=['x'])")
    assert trap.sprung.is_set()
    other.do(way)
    site.proxy("a").deliver(trap)
    for process in (one, other):
        assert process.ask("cache.get('x')") in (None, "new")


def test_a_farewell_that_arrives_late_takes_no_lease_from_a_successor(server, site, stopped):
    site.lease = 2.0
    one, other = (site.process(machine, base=site.proxy(machine).url) for machine in "ab")
    site.ripen(one)
    other.do("cache.set('k', 'old')")
    with server.client() as client:
        client.script_load(scripts.EXPEL)
    leaving = site.agent("b")
    trap = site.proxy("b").keep_back(hashlib.sha1(scripts.EXPEL.encode()).hexdigest().encode())
    os.kill(leaving, signal.SIGTERM)
    assert trap.sprung.wait(10)
    site.leased(other)
    staying = site.agent("b", but=leaving)
    for _ in range(3):
        site.reads(other, "old")
    stopped(staying)
    site.proxy("b").deliver(trap)
    one.do("cache.clear()")
    assert other.ask("cache.get('k')") is None


def test_an_expulsion_that_arrives_late_expels_nobody_who_came_back(server):
    ledger = Ledger(Link(server.url, "shop"), "shop")

    def renew(incarnation=""):
        return ledger.renew("m", incarnation, 0, lease=1.0, unverified=0.0, replicas=0, patience=0.0).incarnation

    incarnation = renew()
    (former,) = ledger.members()[1]
    ledger.expel(incarnation, former)
    assert ledger.members()[1] == []
    renew(incarnation)
    ledger.expel(incarnation, former)
    assert [peer.name for peer in ledger.members()[1]] == ["m"]
