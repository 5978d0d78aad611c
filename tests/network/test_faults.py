"""What happens when a part of the network reach fails; servers, agents and processes are really stopped and killed."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from tests.network.proxy import Proxy
from tests.network.servers import Server
from tests.waiting import wait_until

from cenote import ClearFailedError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network import Ledger, Link
from cenote.invalidation.network.link import ANSWER_SECONDS

READ = "cache.get('k')"


def test_a_clear_waits_for_a_stopped_agent_no_longer_than_its_lease(witnesses, site, stopped):
    one, other = witnesses
    go_on = stopped(site.agent("b"))
    result = site.clear(one)
    assert result.level == "network"
    assert result.seconds < site.longest
    site.read_on(other)
    go_on()
    site.leased(other)
    site.warm(one, other)
    assert site.clear(other).lapsed == ()
    site.judge(one, other)
    assert len(result.lapsed) == 1


def test_the_agent_that_was_killed_gets_a_successor(witnesses, site):
    one, other = witnesses
    before = site.agent("b")
    os.kill(before, signal.SIGKILL)
    result = site.clear(one)
    assert result.level == "network"
    assert result.seconds < site.longest
    site.read_on(other)
    site.agent("b", but=before)
    site.leased(other)
    site.warm(one, other)
    assert site.clear(one).level == "network"
    site.judge(one, other)


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


def test_reads_load_and_a_clear_fails_while_the_server_is_gone(witnesses, site, server):
    one, other = witnesses
    assert site.clear(other).level == "network"
    site.warm(one, other)
    server.kill()
    site.refused(one)
    # The other machine, which nobody has told, serves its copies until its lease ends.
    site.cold(one, other)
    site.refused(other)
    server.start()
    go_on_as_before(site, one, other)


# Longer than its answer is waited for.
@pytest.mark.parametrize("witnesses", [2 * ANSWER_SECONDS], indirect=True)
def test_reads_load_and_a_clear_fails_while_the_server_is_silent(witnesses, site, server):
    one, other = witnesses
    assert site.clear(other).level == "network"
    site.warm(one, other)
    server.pause()
    try:
        site.refused(one)
        site.cold(one, other)
        site.refused(other)
    finally:
        server.resume()
    go_on_as_before(site, one, other)


def go_on_as_before(site, one, other):
    """Clear and read once all is well again, and have the checker judge all that was read."""
    result = site.clear(one)
    assert result.level == "network"
    assert result.seconds < site.longest
    for process in (one, other):
        site.leased(process)
    site.warm(one, other)
    assert site.clear(other).level == "network"
    site.warm(one, other)
    site.judge(one, other)


def restart(server):
    """Kill the server, and start it with nothing."""
    server.kill()
    server.start()


def flush(server):
    """Have the server lose everything."""
    with server.client() as client:
        client.flushall()


def evict(key):
    """Return what has the server lose a part of the log."""

    def lose(server):
        with server.client() as client:
            assert client.unlink(f"cenote:{{cenote}}:{key}") == 1

    return lose


def fill_up(server):
    """Have the server take no more."""
    with server.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")


LOSSES = {
    "it is restarted empty": (restart, "caches.clear_all()"),
    "FLUSHALL": (flush, "cache.clear()"),
    "the log is evicted": (evict("log"), "cache.clear(prefix='k')"),
    "the floors of tags are evicted": (evict("tags"), "cache.clear(prefix='k')"),
    "it is full": (fill_up, "cache.clear()"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_clear_at_a_server_that_forgot_who_serves_copies_waits_for_their_leases(
    witnesses, site, server, stopped, loss
):
    one, other = witnesses
    lose, call = LOSSES[loss]
    one.do("cache.set('x', 'old', tags=['t'])")
    site.reads(other, "old", "x")
    site.clear(one, "cache.invalidate_tags('t')")
    site.warm(one, other)
    # It does not learn of the loss, and goes on serving while its lease lasts.
    go_on = stopped(site.agent("b"))
    lose(server)
    result = site.clear(one, call)
    assert result.level == "network"
    assert result.seconds < site.longest
    site.read_on(other)
    assert (one.ask("cache.get('x')"), other.ask("cache.get('x')")) == (None, None)
    go_on()
    if loss == "it is full":
        with pytest.raises(ClearFailedError):
            one.do("cache.set('more', 1)")
        site.cold(one, other)
        result = site.clear(other, call)
        assert result.level == "network"
        assert result.seconds < site.longest
        with server.client() as client:
            client.config_set("maxmemory", "0")
    go_on_as_before(site, one, other)


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
