"""A server that is full, and evicts for real: the log, indexes, values, claims, whatever its policy takes."""

from __future__ import annotations

import pytest
from tests.network.conftest import SCOPES
from tests.waiting import wait_until

pytestmark = pytest.mark.servers("valkey")

LOG = "cenote:{cenote}:log"
ROOM = 1 << 20
"""Bytes that a server may hold beside what it holds without any entries."""

POLICIES = ["allkeys-lru", "volatile-ttl"]
LONG = [pytest.param(each, marks=pytest.mark.long) for each in ("allkeys-lfu", "allkeys-random", "volatile-lru")]

FILL = """
filler = caches.service("filler", ttl=3600)
def value_of(number):
    return f"{number}" * 2000
def fill():
    for first in range(0, 1000, 50):
        some = range(first, first + 50)
        filler.set_many({f"f{number}": value_of(number) for number in some}, tags=["t"])
def wrong():
    found = filler.get_many([f"f{number}" for number in range(1000)])
    return [name for name, value in found.items() if value != value_of(int(name[1:]))]
"""
OVER_HTTP = """
import asyncio
import httpx
from cenote.control import create_app
async def clear():
    transport = httpx.ASGITransport(create_app(caches), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.post("/api/system/cache/clear", json={"serviceName": "shop"}, timeout=60)).json()
answer = asyncio.run(clear())
"""


def evicted(client):
    """Return how many keys a server has evicted."""
    return client.info("stats")["evicted_keys"]


def limit(client, policy, room=ROOM):
    """Have a server evict from now on."""
    client.config_set("maxmemory-policy", policy)
    client.config_set("maxmemory", client.info("memory")["used_memory"] + room)


@pytest.mark.parametrize("policy", POLICIES + LONG)
def test_a_server_that_evicts_serves_nothing_old_and_says_that_counts_are_none(site, server, apart, policy):
    for process in apart:
        process.do(FILL)
    one, other = apart
    assert one.ask("cache.clear().count_exact")
    with server.client() as client:
        limit(client, policy)
        before = 0
        for process, call in ((one, "cache.clear()"), (other, "cache.clear(prefix='k')"), (one, "cache.delete('k')")):
            site.insist(process, "fill()")
            assert evicted(client) > before
            before = evicted(client)
            assert [each.ask("wrong()") for each in apart] == [[], []]
            found = site.clear(process, call)
            assert found.level in ("network", None)
            if "delete" not in call:
                assert process.ask("result.count_exact") is False
            site.warm(*apart)
        one.do(OVER_HTTP)
        assert one.ask("(answer['level'], answer['countExact'])") == ("network", False)
    assert len(site.judge(one, other).invalidations) == 3


@pytest.mark.parametrize("policy", POLICIES + LONG)
def test_the_log_may_be_evicted_while_machines_hold_leases(site, server, apart, stopped, policy):
    one, other = apart
    former = site.followed(one)
    # Nobody begins a new incarnation before the clear does.
    resume = [stopped(site.agent(machine)) for machine in "ab"]
    with server.client() as client:
        limit(client, policy, room=-client.info("memory")["used_memory"] + 1)
        wait_until(lambda: not client.exists(LOG))
        assert evicted(client) > 0
        client.config_set("maxmemory", 0)
    # Theirs still last, and nothing is known of them any more.
    found = site.clear(one)
    assert found.level == "network"
    for go_on in resume:
        go_on()
    for process in apart:
        site.leaves(process, former)
    site.warm(one, other)
    assert len(site.judge(one, other).invalidations) == 1


@pytest.mark.parametrize("call", SCOPES)
def test_what_no_index_names_any_more_is_invalidated_all_the_same(two, site, server, call):
    one, other = two
    with server.client() as client:
        assert client.unlink(*client.keys("cenote:{cenote}:[ent]:*"))
        one.do(call)
        for process in two:
            site.leased(process)
            assert process.ask("cache.get('k')") is None
    site.spread(one, other, value="new")
