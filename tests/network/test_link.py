"""What the link asks the server for comes back as it was kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cenote.invalidation.network import Link

LOG = "cenote:{shop}:log"
KEYS = {
    "plain": b"plain",
    "with the protocol's own marks": b"a\r\n$3\r\nGET\r\n",
    "in UTF-8": "Höhle".encode(),
    "of any bytes": bytes(range(256)),
    "long": b"k" * 40_000,
}


@pytest.fixture
def link(server):
    """A link to a server that has made a log itself."""
    found = Link(server.url, answer=20.0)
    with server.client() as client:
        run = client.info("server")["run_id"]
        client.hset(LOG, mapping={"inc": "1" * 32, "id": f"{run}0000"})
    yield found
    found.close()


@pytest.mark.parametrize("key", KEYS)
def test_values_are_read_beside_the_incarnation_whatever_their_keys_are(link, server, key):
    values = {KEYS[key]: b"\r\n$-1\r\n", b"missing": None, b"large": b"v" * 300_000, b"empty": b""}
    with server.client() as client:
        client.mset({name: value for name, value in values.items() if value is not None})
    assert link.fetch(list(values), LOG) == (list(values.values()), b"1" * 32)
    assert link.fetch([KEYS[key]], LOG) == ([b"\r\n$-1\r\n"], b"1" * 32)


def test_a_log_that_was_made_at_another_server_is_seen_beside_values(link, server):
    with server.client() as client:
        client.hset(LOG, "id", "0" * 80)
        client.set("k", "v")
    assert link.fetch([b"k"], LOG) == ([b"v"], None)


def test_a_read_goes_on_when_the_server_has_closed_all_connections_meanwhile(link, server):
    assert link.fetch([b"k"], LOG)[0] == [None]
    with server.client() as client:
        client.set("k", "v")
        client.client_kill_filter(_type="normal", skipme=True)
    assert link.fetch([b"k"], LOG) == ([b"v"], b"1" * 32)


def test_as_many_threads_as_there_are_read_at_once(link, server):
    threads = 150
    started = threading.Barrier(threads + 1)

    def read(_):
        started.wait()
        return link.fetch([b"k"], LOG)[0]

    with server.client() as client, ThreadPoolExecutor(threads) as pool:
        client.set("k", "v")
        found = pool.map(read, range(threads))
        client.client_pause(500)  # so that all of them wait for an answer together
        started.wait()
        found = list(found)
    assert found == [[b"v"]] * threads
