"""A server that comes back with what it had, or with less, or loses everything while it runs."""

from __future__ import annotations

import pytest
from tests.network.servers import Server

pytestmark = pytest.mark.long

WAYS = {
    "cache.delete('x')": "cache='shop', keys=['x']",
    "cache.invalidate_tags('x')": "cache='shop', tags=['x']",
    "cache.clear()": "cache='shop'",
}


@pytest.fixture
def keeping(kind):
    """Return a server that writes every change to the disk."""
    with Server(kind, keep=True) as server:
        yield server


@pytest.fixture
def server(keeping):
    return keeping


def test_a_server_that_comes_back_with_its_data_begins_anew(server, site, apart):
    one, other = apart
    other.do("cache.set('x', 'old')")
    site.reads(one, "old", "x")
    assert site.clear(one, "cache.delete('k')").seconds < site.longest
    server.kill()
    server.start()
    assert site.clear(other).level == "network"
    for process in (one, other):
        assert process.ask("cache.get('x')") is None
        site.leased(process)
    site.warm(one, other)
    assert site.clear(one).lapsed == ()
    site.judge(one, other)


@pytest.mark.parametrize(("kind", "way"), [("redis", "cache.delete('x')"), *(("valkey", way) for way in WAYS)])
def test_what_was_invalidated_is_not_served_by_a_server_that_came_back_with_older_data(
    server, site, stopped, tmp_path, way
):
    site.lease = 2.0
    one, other = (site.process(machine) for machine in "ab")
    site.ripen(one)
    site.leased(other)
    site.witness(one, other)
    # Its birth; nobody loads it anew.
    one.do("old = now(); cache.set('x', old, tags=['x'])")
    site.reads(other, one.ask("old"), "x")
    server.copy(tmp_path / "older")
    other.do(f"with history.invalidation({WAYS[way]}): {way}")
    # The leases that both have last longer than the server is away.
    left = site.followed(one)
    going_on = [stopped(site.agent(machine)) for machine in "ab"]
    server.roll_back(tmp_path / "older")
    for process in (one, other):
        assert process.ask("caches._log.holds_lease")
        process.do("caches._log.ledger.link.wake()")
        look(process)
    for go_on in going_on:
        go_on()
    for process in (one, other):
        site.leaves(process, left)
        look(process)
    site.warm(one, other)
    site.judge(one, other)
    for process in (one, other):
        assert process.ask("seen") == [None, None]
        site.shares(process, "x")


def look(process):
    """Have a witness read what was invalidated, for the judge."""
    process.do(
        """
        seen, start = globals().setdefault("seen", []), now()
        seen.append(cache.get("x"))
        history.read(start, seen[-1] and Stamped(None, seen[-1]), cache="shop", key="x", tags=["x"])
        """
    )


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_clear_right_after_the_server_lost_everything_holds(server, site, apart):
    one, other = apart
    for process in (one, other):
        with server.client() as client:
            client.flushall()
        result = site.clear(process)
        assert result.level == "network"
        assert result.seconds < site.longest
        site.warm(one, other)
    site.judge(one, other)


@pytest.mark.parametrize(("kind", "call"), [("valkey", "cache.clear()"), ("valkey", "cache.delete('x')")])
def test_a_load_during_which_the_server_lost_everything_is_kept_nowhere(server, site, apart, call):
    one, other = apart
    other.tell(
        """
        def load():
            connection.send("loading")
            connection.recv()
            return "old"
        found = cache.get_or_load("x", load)
        """
    )
    assert other.receive() == "loading"
    with server.client() as client:
        client.flushall()
    one.do(call)
    other.send("go on")
    other.answer()
    assert other.ask("found") == "old"
    for process in (one, other):
        site.leased(process)
        assert process.ask("cache.get('x')") is None
    site.judge(one, other)
