"""A master that sentinels watch is found, and so is the replica that takes its place."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.network.conftest import LEASE, Site
from tests.network.sentinels import NAME, Sentinel, Sentinels
from tests.network.servers import Server, agents, free_port
from tests.network.test_cuts import EVERY_TRY
from tests.network.test_failover import clear_when_it_can
from tests.waiting import wait_until

from cenote import CacheManager, ClearFailedError
from cenote.invalidation.network.connecting import Address
from cenote.invalidation.network.discovery import Host, NoMasterError

pytestmark = pytest.mark.long

READ = "cache.get('k')"


@pytest.fixture
def stack(tmp_path):  # it goes first
    """What a test opens and this closes."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def machines(stack, tmp_path):
    """Return the machines that share what some sentinels watch."""

    def found(group, replicas=1, lease=LEASE):
        site = Site(group, tmp_path, lease, query=f"&sentinel={NAME}&replicas={replicas}")
        stack.callback(site.end)
        return site

    return found


def test_nothing_from_before_is_served_once_a_replica_has_taken_the_place_of_a_killed_master(kind, stack, machines):
    group = stack.enter_context(Sentinels(kind, replicas=2, sentinels=3))
    site = machines(group)
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    site.witness(one, other)
    assert site.clear(one).level == "network"
    group.master.kill()
    with pytest.raises(ClearFailedError):
        site.clear(one)
    clear_when_it_can(site, one)
    site.leased(one)
    site.leased(other)
    site.warm(one, other)
    assert site.clear(other).level == "network"
    site.judge(one, other)


@pytest.mark.parametrize(("kind", "demanded"), [("redis", 1), ("valkey", 0)])
def test_nothing_comes_back_with_a_replica_that_missed_the_last_writes(kind, demanded, stack, machines):
    group = stack.enter_context(Sentinels(kind, replicas=2))
    site = machines(group, replicas=demanded)
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
    site.witness(one, other)
    assert site.clear(one).level == "network"
    site.warm(one, other)
    old = group.master
    with old.client() as client:
        # Its replicas' connections end, and they come back no more; sentinels and machines reach it all the same.
        group.proxies[old].cut_at(b"REPLCONF", 0, "requests", times=EVERY_TRY)
        wait_until(lambda: client.info("replication")["connected_slaves"] == 0)
        if demanded:
            # Nobody else knows of it, so it is not done; and without replicas there is no lease.
            site.refused(one)
            site.refused(other, "cache.delete('k')", "none")
            site.cold(one, other)
        else:
            # As is documented for replicas that are gone for good: the server alone is enough.
            client.hdel("cenote:{cenote}:log", "replicas")
            for process in (one, other):
                site.leased(process)
            site.warm(one, other)
            assert site.clear(one).level == "network"
            site.warm(one, other)
            assert site.clear(other, "cache.delete('k')").seconds < site.longest
        known = [int(each.client().hget("cenote:{cenote}:log", "head")) for each in group.servers if each is not old]
        assert max(known) < int(client.hget("cenote:{cenote}:log", "head"))
    old.kill()
    site.refused(one)
    group.wait_for_promotion(old)
    # One that comes new to it knows of nothing that it missed.
    third = site.process("c")
    site.leased(third)
    site.witness(third)
    for process in (one, other):
        clear_when_it_can(site, process)
        site.leased(process)
    site.warm(one, other, third)
    assert clear_when_it_can(site, third).level == "network"
    site.warm(one, other, third)
    site.judge(one, other, third)


@pytest.mark.parametrize("kind", ["valkey"])
def test_the_new_master_is_found_although_the_old_one_still_answers(kind, stack, machines):
    group = stack.enter_context(Sentinels(kind))
    site = machines(group)
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    site.spread(one, other)
    group.failover()
    site.insist(one, "cache.clear()")
    assert other.ask(READ) is None
    site.leased(other)


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_promoted_replica_grants_no_lease_before_it_has_the_replicas_that_are_asked_for(kind, stack, machines):
    group = stack.enter_context(Sentinels(kind))
    site = machines(group)
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    site.spread(one, other)
    old = group.master
    old.kill()
    new = group.wait_for_promotion(old)
    for process, change in ((one, "cache.clear()"), (other, "cache.set('k', 'unconfirmed')")):
        process.do(
            f"""
            import time
            from cenote import ClearFailedError
            end = time.monotonic() + 20
            while True:
                try:
                    {change}
                except ClearFailedError as error:
                    # Not only that it is out of reach for a moment.
                    if "0 of 1 replicas" in str(error):
                        break
                assert time.monotonic() < end
            """
        )
    # The other machine follows the new log, and its server answers; there is no lease.
    with new.client(decode_responses=True) as client:
        wait_until(lambda: site.followed(other) == client.hget("cenote:{cenote}:log", "inc"))
    for _ in range(30):
        assert other.ask("cache.get_or_load('x', lambda: 'loaded')") == "loaded"
        assert other.ask("cache.get('x')") is None
    old.start()
    group.wait_until_settled()
    site.insist(one, "cache.clear()")
    site.leased(other)
    site.spread(one, other, value="new")


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_sentinel_that_knows_a_deposed_master_is_not_asked_for_ever(kind, stack, machines):
    deposed = stack.enter_context(Sentinels(kind, replicas=0))
    group = stack.enter_context(Sentinels(kind))
    both = ",".join(f"{host}:{port}" for host, port in (*deposed.addresses, *group.addresses))
    # So long that no answer is late, which would be another reason to look for the master anew.
    site = machines(group, lease=3)
    site.leased(site.process("a", base=f"redis://{both}"))


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_process_whose_connections_lead_to_another_server_than_its_machines_lease_finds_that(kind, stack, machines):
    old, new = (stack.enter_context(Server(kind)) for _ in range(2))
    sentinel = stack.enter_context(Sentinel(kind, old.port, 1))
    site = machines(sentinel, replicas=0)
    base = f"redis://127.0.0.1:{sentinel.port}"
    one = site.process("a", base=base)
    site.leased(one)
    # With so many open, none of its threads needs another one.
    one.do(
        """
        pool = caches._log.ledger.link.client.connection_pool
        for each in [pool.get_connection() for _ in range(4)]:
            pool.release(each)
        """
    )
    sentinel.ask("REMOVE", NAME)
    sentinel.ask("MONITOR", NAME, "127.0.0.1", new.port, 1)
    agent = site.agent("a")
    os.kill(agent, signal.SIGKILL)
    site.agent("a", but=agent)
    other = site.process("b", base=base)
    site.leased(other)
    # Whoever comes later has a new incarnation begin, since what it followed is none of this server's.
    wait_until(lambda: site.followed(one) == site.followed(other))
    site.spread(other, one)


def test_a_sentinel_that_is_silent_is_asked_last_from_then_on(stack):
    group = stack.enter_context(Sentinels("valkey"))
    silent = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    ((_, port),) = group.addresses
    asked, discovery = asking(silent, free_port(), port)
    master = Host("127.0.0.1", group.proxies[group.master].port)
    assert discovery.discover_master(NAME) == master
    assert len(asked) == 3
    assert discovery.discover_master(NAME) == master
    assert asked[3:] == [Host("127.0.0.1", port)]


def test_all_sentinels_are_asked_in_turn_but_not_all_in_one_call(stack):
    ports = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(4)]
    asked, discovery = asking(*ports)
    with pytest.raises(NoMasterError):
        discovery.discover_master(NAME)
    assert len(asked) < len(ports)
    with pytest.raises(NoMasterError):
        discovery.discover_master(NAME)
    assert {host.port for host in asked} == set(ports)


def asking(*ports):
    """Return what discovers the master with sentinels on ports, and who is asked."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    _, discovery = Address.of(f"redis://{hosts}?sentinel={NAME}").client(answer=1, greet=bool, key="")
    asked, connect = [], discovery._connect

    def noted(host):
        asked.append(host)
        return connect(host)

    discovery._connect = noted
    return asked, discovery


@pytest.mark.parametrize("kind", ["valkey"])
def test_sentinels_and_servers_have_passwords_that_nobody_gets_to_see(kind, stack, rights, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    group = stack.enter_context(Sentinels(kind, lines=["user shop on >hidden1 ~* &* +@all"]))
    for sentinel in group.sentinels:
        with sentinel.client() as client:
            client.execute_command("ACL", "SETUSER", "watcher", "on", ">hidden2", *rights("Sentinel"))
    base = group.url.replace("//", "//shop:hidden1@")
    login = "sentinel_username=watcher&sentinel_password=hidden2"
    with CacheManager(f"{base}?sentinel={NAME}&{login}&dir={tmp_path}/run&lease=0.5") as caches:
        assert caches.global_cache.clear().level == "network"
        for sentinel in group.sentinels:
            with sentinel.client() as client:
                assert client.acl_log() == []
        (agent,) = agents(tmp_path)
        told = [Path(f"/proc/{agent}/{name}").read_text() for name in ("cmdline", "environ")]
        for each in (*group.sentinels, *group.servers):
            each.kill()
        with pytest.raises(ClearFailedError) as caught:
            caches.global_cache.clear()
        link = caches._log.ledger.link
        told += [repr(caches), str(caught.value), repr(caught.value.__cause__), *map(repr, vars(link).values())]
    assert "nobody knows where" in caplog.text
    assert "hidden" not in "".join([caplog.text, *told, *map(str, tmp_path.rglob("*"))])
