"""A replica takes the server's place, and the former master goes on answering, comes back, or is promoted again."""

from __future__ import annotations

import time

import pytest
from tests.network.proxy import Proxy
from tests.network.servers import Server, wait_for
from tests.waiting import wait_until

from cenote import ClearFailedError

pytestmark = [pytest.mark.servers("valkey"), pytest.mark.long]


@pytest.fixture
def replica(server, kind):
    """A replica that follows the server."""
    with Server(kind) as found:
        found.follow(server)
        yield found


def clear_when_it_can(site, process, call="cache.clear()"):
    """Repeat a clear until it succeeds, as callers are told to."""
    end = time.monotonic() + 20
    while True:
        try:
            return site.clear(process, call)
        except ClearFailedError:
            if time.monotonic() > end:
                raise


@pytest.mark.parametrize(
    ("kind", "call"),
    [("valkey", "cache.clear()"), ("valkey", "cache.delete('k')"), ("redis", "cache.clear()")],
)
def test_a_clear_at_the_promoted_replica_holds_where_the_deposed_master_answers(replica, site, apart, call):
    one, other = apart
    replica.follow(None)
    site.proxy("a").switch(replica)
    clear_when_it_can(site, one, call)
    # Nobody has told the other machine, and its server still takes what it is given.
    assert other.ask("caches._log.holds_lease") is False
    with pytest.raises(ClearFailedError):
        other.do("cache.set('k', now())")
    assert other.ask("cache.get('k')") is None
    with pytest.raises(ClearFailedError):
        site.clear(other, call)
    clear_when_it_can(site, one, call)
    site.proxy("b").switch(replica)
    site.leased(one)
    site.leased(other)
    site.warm(one, other)
    assert site.clear(other).level == "network"
    site.judge(one, other)


def test_a_deposed_master_grants_nothing_to_those_who_come_from_its_successor(server, replica, site, apart):
    one, other = apart
    replica.follow(None)
    site.proxy("a").switch(replica)
    clear_when_it_can(site, one)
    site.leased(one)
    log = server.client()
    left = log.hget("cenote:{cenote}:log", "inc")
    site.proxy("a").switch(server)
    wait_for(lambda: log.hget("cenote:{cenote}:log", "inc") != left)
    former = site.followed(other)
    wait_until(lambda: site.followed(other) not in (former, ""))
    site.proxy("a").switch(replica)
    for _ in range(3):
        clear_when_it_can(site, one)
        assert other.ask("caches._log.holds_lease") is False
        assert other.ask("cache.get('k')") is None
    site.judge(one, other)


def test_a_deposed_master_that_is_full_clears_nothing(server, replica, site, apart):
    one, other = apart
    replica.follow(None)
    site.proxy("a").switch(replica)
    clear_when_it_can(site, one)
    site.leased(one)
    site.warm(one)
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        with pytest.raises(ClearFailedError):
            site.clear(other)
        client.config_set("maxmemory", "0")
    clear_when_it_can(site, one)
    assert other.ask("caches._log.holds_lease") is False
    site.judge(one, other)


def test_a_clear_by_one_who_did_not_know_of_the_replicas_says_what_it_took(replica, site):
    one = site.process("a")
    site.ripen(one)
    one.do("cache.set('x', 1); cache.set('y', 2)")
    other = site.process("b")
    assert other.ask("cache.clear().entries_cleared") == 2


def test_a_replica_that_missed_the_last_writes_brings_nothing_back(server, kind, site):
    with Proxy(server) as wire, Server(kind) as replica:
        replica.follow(wire)
        one, other = (site.process(machine, base=site.proxy(machine).url) for machine in "ab")
        site.ripen(one)
        for process in (one, other):
            site.leased(process)
        site.witness(one, other)
        assert site.clear(one).level == "network"
        one.do("cache.set('set', 'old')")
        site.reads(other, "old", "set")
        site.warm(one, other)
        wire.hold()
        # Nothing that a replica may have missed is called done.
        for call, level in (
            ("cache.clear()", "machine"),
            ("cache.delete('k')", "none"),
            ("caches.clear_all()", "machine"),
        ):
            site.refused(one, call, level)
        with pytest.raises(ClearFailedError):
            one.do("cache.set('set', 'new')")
        site.cold(one, other)
        server.kill()
        site.refused(one)
        replica.follow(None)
        for machine in "abc":
            site.proxy(machine).switch(replica)
        # One that comes new to it knows of nothing that it missed.
        third = site.process("c", base=site.proxy("c").url)
        site.leased(third)
        site.witness(third)
        for process in (one, other):
            site.leased(process)
            assert process.ask("cache.get('set')") is None
        site.warm(one, other)
        for process in (one, other, third):
            assert site.clear(process).level == "network"
            site.warm(one, other, third)
        site.judge(one, other, third)


@pytest.mark.servers("valkey", "redis")
def test_nothing_comes_back_when_the_former_master_is_promoted_again(server, replica, site, apart):
    one, other = apart
    replica.follow(None)
    for machine in "ab":
        site.proxy(machine).switch(replica)
    clear_when_it_can(site, one)
    server.follow(replica)
    site.leased(other)
    site.warm(one, other)
    clear_when_it_can(site, other)
    server.follow(None)
    for machine in "ab":
        site.proxy(machine).switch(server)
    clear_when_it_can(site, one)
    replica.follow(server)
    for process in (one, other):
        site.leased(process)
    site.warm(one, other)
    # The replica may be late for a moment; a clear says so then.
    assert clear_when_it_can(site, other).level == "network"
    site.judge(one, other)


@pytest.mark.parametrize("related", [True, False])
def test_nothing_comes_back_with_a_server_that_never_learned_of_its_replacement(server, kind, site, apart, related):
    one, other = apart
    with Server(kind) as second:
        if related:
            second.follow(server)
            wait_for(lambda: server.client().hget("cenote:{cenote}:log", "replicas") == b"1")
            second.follow(None)
        for machine in "ab":
            site.proxy(machine).switch(second)
        clear_when_it_can(site, one)
        for process in (one, other):
            site.leased(process)
        site.warm(one, other)
        assert site.clear(one).level == "network"
        # Back to what the first one had before: its replica forgets what it was told meanwhile.
        left = site.followed(one)
        for machine in "ab":
            site.proxy(machine).switch(server)
        if related:
            second.follow(server)
        for process in (one, other):
            site.leaves(process, left)
        site.warm(one, other)
        site.judge(one, other)


@pytest.mark.parametrize("call", ["cache.clear()", "cache.delete('k')"])
def test_a_machine_that_comes_new_to_a_former_master_is_served_nothing_old(server, replica, site, apart, call):
    one, other = apart
    replica.follow(None)
    for machine in "ab":
        site.proxy(machine).switch(replica)
    clear_when_it_can(site, one, call)
    # The former master never learned of its replacement, and nobody who knows of that asks it.
    replica.follow(server)
    third = site.process("c")
    # First of all, so that it loads nothing itself.
    site.leased(third)
    site.witness(third)
    assert site.clear(third, call).level in ("network", None)
    site.judge(one, other, third)


def test_a_deposed_master_that_was_started_anew_serves_nothing_where_a_replica_is_demanded(server, replica, kind, site):
    with Server(kind) as third:
        third.follow(server)
        one, other = (site.process(name, base=site.proxy(name).url, query="&replicas=1") for name in "ab")
        site.ripen(one)
        site.leased(other)
        site.witness(one, other)
        replica.follow(None)
        third.follow(replica)
        site.proxy("a").switch(replica)
        left = site.followed(other)
        server.kill()
        server.start()
        wait_until(lambda: site.followed(other) not in (left, ""))
        site.leased(one)
        for _ in range(3):
            other.do("cache.get_or_load('k', now)")
            clear_when_it_can(site, one)
            assert other.ask("cache.get('k')") is None
        assert other.ask("caches._log.holds_lease") is False
        site.judge(one, other)
