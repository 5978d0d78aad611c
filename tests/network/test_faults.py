"""What happens when a part of the network reach fails; servers, agents and processes are really stopped and killed."""

from __future__ import annotations

import os
import shutil
import signal
import time

import pytest
from tests.machine.processes import state_of
from tests.network.proxy import Proxy
from tests.network.servers import Server
from tests.waiting import wait_until

from cenote import ClearFailedError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network import Ledger, Link

READ = "cache.get('k')"
LOAD = "cache.get_or_load('k', lambda: 'new')"


def test_a_clear_waits_for_a_stopped_agent_no_longer_than_its_lease(two, site):
    one, other = two
    agent = site.agent("b")
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: state_of(agent) == "T")
    try:
        begin = time.monotonic()
        assert one.ask("cache.clear().level") == "network"
        assert time.monotonic() - begin < 1.02 * site.lease + 0.5
        assert len(one.ask("caches._log.members").lapsed) == 1
        assert other.ask(READ) is None
    finally:
        os.kill(agent, signal.SIGCONT)
    site.leased(other)
    assert other.ask(READ) is None


def test_the_agent_that_was_killed_gets_a_successor(two, site):
    one, other = two
    before = site.agent("b")
    os.kill(before, signal.SIGKILL)
    site.agent("b", but=before)
    site.leased(other)
    one.do("cache.clear()")
    assert other.ask(READ) is None


@pytest.mark.parametrize("kind", ["valkey"])
@pytest.mark.parametrize("how", ["process", "thread"])
def test_an_agent_whose_directory_was_removed_leaves_the_machine_to_another_one(site, kind, how):
    one = site.process("a", query=f"&agent={how}")
    site.ripen(one)
    before = site.agent("a") if how == "process" else None
    shutil.rmtree(site.directory("a"))
    other = site.process("a")
    site.agent("a", but=before)
    if how == "thread":
        one.do("import threading")
        wait_until(lambda: one.ask("[each.name for each in threading.enumerate()].count('cenote-agent')") == 0)
    site.leased(other)
    other.do("cache.set('k', 'old')")
    for process in (one, other):
        site.reads(process, "old")
    assert other.ask("cache.clear().level") == "network"
    assert (one.ask(READ), other.ask(READ)) == (None, None)


def test_reads_load_and_a_clear_fails_while_the_server_is_gone(two, site, server):
    one, other = two
    server.kill()
    with pytest.raises(ClearFailedError) as caught:
        one.do("cache.clear()")
    assert caught.value.level == "machine"
    assert one.ask(READ) is None
    assert one.ask(LOAD) == "new"
    begin = time.monotonic()
    assert other.ask("[cache.get_or_load(f'x{n}', lambda: n) for n in range(300)][-1]") == 299
    assert time.monotonic() - begin < 3
    server.start()
    site.leased(one)
    site.leased(other)
    assert one.ask(LOAD) == "new"
    assert one.ask("cache.clear().level") == "network"


def test_a_server_that_is_silent_is_waited_for_once(two, site, server):
    one, _ = two
    server.pause()
    try:
        begin = time.monotonic()
        with pytest.raises(ClearFailedError) as caught:
            one.do("cache.clear()")
        assert caught.value.level == "machine"
        assert time.monotonic() - begin < 3
        assert one.ask("[cache.get_or_load(f'x{n}', lambda: n) for n in range(300)][-1]") == 299
    finally:
        server.resume()
    site.leased(one)
    assert one.ask("cache.clear().level") == "network"


def test_nothing_from_before_is_served_once_the_server_has_lost_the_log(two, site, server):
    one, other = two
    with server.client() as client:
        client.flushall()
    # The leases of before still hold, so the clear must not return before they end.
    assert one.ask("cache.clear().level") == "network"
    assert other.ask(READ) is None
    assert one.ask(READ) is None


@pytest.mark.parametrize("key", ["log", "tags"])
def test_nothing_from_before_is_served_once_a_part_of_the_log_was_evicted(two, site, server, key):
    one, other = two
    one.do("cache.set('tagged', 'old', tags=['x']); cache.invalidate_tags('x')")
    with server.client() as client:
        assert client.unlink(f"cenote:{{cenote}}:{key}") == 1
    one.do("cache.clear(prefix='k')")
    site.leased(other)
    assert other.ask(READ) is None
    assert other.ask("cache.get('tagged')") is None


def test_a_clear_holds_on_a_server_that_takes_no_more(two, site, server):
    one, other = two
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        with pytest.raises(ClearFailedError):
            one.do("cache.set('more', 1)")
        assert one.ask("cache.clear().level") == "network"
        assert other.ask(READ) is None
        assert one.ask(READ) is None
        client.config_set("maxmemory", "0")
    site.leased(other)
    assert other.ask(READ) is None


def test_there_is_no_lease_while_a_replica_does_not_follow(two, server, kind, site):
    one, _ = two
    with Server(kind, lines=[f"replicaof 127.0.0.1 {server.port}"]) as replica:
        wait_until(lambda: server.client().hget("cenote:{cenote}:log", "replicas") == b"1")
        site.leased(one)
        replica.pause()
        try:
            wait_until(lambda: one.ask("caches._log.holds_lease") is False)
        finally:
            replica.resume()
        site.leased(one)
    # It is gone for good, and that is what the documentation says to do.
    with server.client() as client:
        client.hdel("cenote:{cenote}:log", "replicas")
    site.leased(one)
    assert one.ask("cache.clear().level") == "network"


def test_a_forked_child_shares_the_caches(two):
    one, _ = two
    one.do(
        """
        import os
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            found = cache.get("k")
            cache.clear()
            os.write(writer, repr(found).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        found = os.read(reader, 100)
        """
    )
    assert one.ask("found") == b"'old'"
    assert one.ask(READ) is None


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_call_whose_connection_is_cut_is_made_once_more(server):
    with Proxy(server) as proxy:
        link = Link(proxy.url, "n")
        trap = proxy.cut_at(b"ECHO", 0)
        assert link.call(lambda client: client.echo("word")) == b"word"
        assert trap.sprung.is_set()
        link.close()


@pytest.mark.parametrize("kind", ["valkey"])
def test_an_answer_that_waits_for_replicas_is_not_taken_for_late(server):
    ledger = Ledger(Link(server.url, "n", answer=2.0), "n")
    receipt = ledger.record(Record(kind=RecordKind.CLEAR, cache="shop"), replicas=1, patience=9)
    assert (receipt.sequence, receipt.told) == (0, 0)
    receipt = ledger.record(
        Record(kind=RecordKind.CLEAR, cache="shop"), incarnation=receipt.incarnation, replicas=1, patience=9
    )
    assert (receipt.sequence, receipt.told) == (1, 0)
    ledger.link.close()
