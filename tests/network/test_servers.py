"""The tests' own servers, sentinels and proxies do what tests tell them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from tests.network.proxy import Proxy
from tests.network.sentinels import Sentinels
from tests.network.servers import ROOT, Server, client_of, wait_for

pytestmark = [pytest.mark.parametrize("kind", ["valkey"]), pytest.mark.long]


@pytest.fixture
def proxy(server):
    """A proxy before a server of this test's own."""
    with Proxy(server) as found:
        yield found


def test_a_server_that_keeps_comes_back_with_its_data_and_with_older_data(kind, tmp_path):
    with Server(kind, keep=True) as server:
        client = server.client()
        client.set("key", 1)
        server.copy(tmp_path / "older")
        client.set("key", 2)
        server.kill()
        server.start()
        assert server.client().get("key") == b"2"
        server.roll_back(tmp_path / "older")
        assert server.client().get("key") == b"1"


def test_servers_die_with_the_process_that_started_them(kind):
    program = f"from tests.network.servers import Server; print(Server({kind!r}).start().pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        server = Path(f"/proc/{int(process.stdout.readline())}/stat")
        assert server.exists()
        process.kill()
    # Nobody may be there to take note of its end.
    wait_for(lambda: not server.exists() or server.read_text().rpartition(")")[2].split()[0] == "Z")


def test_a_cut_proxy_refuses_until_it_heals(proxy):
    client = client_of(proxy.port)
    client.ping()
    proxy.cut()
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.ping()
    proxy.heal()
    assert client.ping()


def test_a_reply_that_is_held_back_is_that_of_a_request_that_was_obeyed(proxy, server):
    client = client_of(proxy.port, socket_timeout=0.05)
    client.ping()
    proxy.hold("replies")
    with pytest.raises(redis.TimeoutError):
        client.set("key", 1)
    wait_for(lambda: server.client().get("key"))
    proxy.flow()
    assert client.get("key") == b"1"


def test_a_reply_is_cut_in_the_middle(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        trap = proxy.cut_at(b"ECHO", 3)
        raw.sendall(b"PING\r\n")
        assert raw.recv(100) == b"+PONG\r\n"
        assert not trap.sprung.is_set()
        raw.sendall(b"ECHO word\r\n")
        assert raw.recv(100) == b"$4\r"
        assert raw.recv(100) == b""
        assert trap.sprung.is_set()
    assert client_of(proxy.port).echo("word") == b"word"


def test_a_request_is_obeyed_when_its_reply_is_cut_and_not_when_itself_is(proxy, server):
    client = client_of(proxy.port)
    for way, value in (("replies", b"1"), ("requests", b"1")):
        trap = proxy.cut_at(b"INCR", 0 if way == "replies" else 10, way)
        with pytest.raises(redis.ConnectionError):
            client.incr("key")
        assert trap.sprung.is_set()
        assert server.client().get("key") == value


def test_a_request_that_is_kept_back_is_obeyed_though_its_sender_gave_up(proxy, server):
    client = client_of(proxy.port, socket_timeout=0.05)
    trap = proxy.keep_back(b"INCR")
    with pytest.raises(redis.TimeoutError):
        client.incr("key")
    assert client.get("key") is None
    proxy.deliver(trap)
    assert client.get("key") == b"1"


def test_a_delay_makes_each_way_longer(proxy):
    client = client_of(proxy.port)
    client.ping()
    proxy.delay = 0.03
    begun = time.monotonic()
    client.ping()
    assert time.monotonic() - begun >= 0.06


def test_a_proxy_leads_to_another_server_from_one_moment_on(proxy, kind):
    client = client_of(proxy.port)
    client.set("key", 1)
    with Server(kind) as other:
        proxy.switch(other)
        assert client.get("key") is None


def test_sentinels_replace_a_master_that_was_killed_and_one_that_was_cut_off_believes_in_itself(kind):
    with Sentinels(kind, sentinels=3, replicas=2) as group:
        first = group.master
        second = group.failover(kill=True)
        assert second is not first
        first.start()
        group.wait_until_settled()
        group.isolate(second)
        third = group.wait_for_promotion(second)
        assert second.client().set("key", "old")
        assert third.client().set("key", "new")
        group.rejoin(second)
        group.wait_until_settled()
        assert second.client().get("key") == b"new"


def test_an_ordered_failover_turns_the_master_into_a_replica(kind):
    with Sentinels(kind) as group:
        old = group.master
        new = group.failover()
        assert (group.master, group.replicas) == (new, [old])
        with pytest.raises(redis.ReadOnlyError):
            old.client().set("key", 2)
