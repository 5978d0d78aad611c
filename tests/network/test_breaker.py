"""The breaker: a server that is dead, or silent, is asked once and then left alone, whatever is read meanwhile."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

RESTING = """
import asyncio
from cenote.invalidation.network import link
# Longer than the test takes: no question whether it is back goes out meanwhile.
link.REST_SECONDS = 3600.0
links = caches._log.ledger.link
keys = [f"x{number}" for number in range(1000)]

# Other threads of the process ask too: what they have begun has ended when as many have ended as began.
follow, begun, ended = links._follow, [], []
def counted(action):
    begun.append(action)
    try:
        return follow(action)
    finally:
        ended.append(action)
links._follow = counted

def load(key):
    return cache.get_or_load(key, lambda: key)

async def ask(*keys):
    return await asyncio.gather(*map(cache.aget, keys))
"""

READS = {
    "get_or_load": ("[load(key) for key in keys] == keys", True),
    "get_or_load_many": ("len(cache.get_or_load_many(keys, lambda missing: dict.fromkeys(missing, 1)))", 1000),
    "get": ("{cache.get(key) for key in keys}", {None}),
    "aget": ("set(asyncio.run(ask(*keys)))", {None}),
    "aget, each in an event loop of its own": ("{asyncio.run(ask(key))[0] for key in keys[:100]}", {None}),
}


@pytest.mark.parametrize("failing", ["pause", "kill"])
def test_a_server_that_did_not_answer_once_is_not_asked_by_a_thousand_reads(site, server, stopped, failing):
    proxy = site.proxy("a")
    one = site.process("a", RESTING, base=proxy.url)
    site.leased(one)
    assert one.ask("[load('k'), *asyncio.run(ask('k'))]") == ["k", "k"]
    # From now on nobody but this process is behind the proxy.
    stopped(site.agent("a"))
    getattr(server, failing)()
    try:
        wait_until(lambda: one.ask("caches._log.holds_lease") is False)
        assert one.ask("load('first')") == "first"
        assert one.ask("links.resting")
        wait_until(lambda: one.ask("len(ended) == len(begun)"))
        before = proxy.heard, one.ask("len(begun)"), one.ask("links.calls")
        for call, expected in READS.values():
            assert one.ask(call) == expected
        assert (proxy.heard, one.ask("len(begun)"), one.ask("links.calls")) == before
    finally:
        server.resume()


@pytest.mark.servers("valkey")
def test_a_server_that_rests_is_asked_again_though_nobody_reads_without_waiting_for_it(site, server):
    one = site.process("a", RESTING.replace("3600.0", "0.2"))
    site.leased(one)
    server.pause()
    try:
        wait_until(lambda: one.ask("caches._log.holds_lease") is False)
        assert one.ask("load('first')") == "first"
        assert one.ask("links.resting")
    finally:
        server.resume()
    wait_until(lambda: one.ask("load('x') == 'x' and not links.resting"))
    site.leased(one)
    site.shares(one, "k")
