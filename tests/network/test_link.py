"""What the link asks the server for comes back as it was kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.machine.processes import forked
from tests.waiting import wait_until

from cenote.invalidation.network import Link
from cenote.invalidation.network.link import UnreachableError

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
    found = Link(server.url, "shop", answer=20.0)
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


def test_a_forked_child_reads_by_a_connection_of_its_own(link, server):
    assert link.fetch([b"k"], LOG)[0] == [None]

    def child():
        with server.client() as client:
            before = len(client.client_list())
            link.after_fork()
            link.fetch([b"k"], LOG)
            return len(client.client_list()) - before - 1

    assert forked(child) == 0
    assert link.fetch([b"k"], LOG)[0] == [None]


def test_a_closed_link_leaves_no_connection_behind(link, server):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: link.fetch([b"k"], LOG), range(200)))
    link.close()
    with server.client() as client:
        wait_until(lambda: len(client.client_list()) == 1)


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(server):
    link = Link(server.url, "shop", answer=0.2)
    with server.client() as client:
        client.mset({"late": "wrong", "k": "v"})
    assert link.fetch([b"k"], LOG)[0] == [b"v"]
    server.pause()
    with pytest.raises(UnreachableError):
        link.fetch([b"late"], LOG)
    server.resume()
    link.wake()
    assert link.fetch([b"k"], LOG)[0] == [b"v"]
    link.close()


def test_a_limit_of_connections_in_the_url_is_kept(server):
    link = Link(f"{server.url}?max_connections=1", "shop", answer=20.0)
    assert link.fetch([b"k"], LOG)[0] == [None]
    assert link.call(lambda client: client.ping())
    with server.client() as client:
        assert len(client.client_list()) == 2
    link.close()


def test_the_answer_behind_a_refusal_is_not_taken_for_the_next_one(link, server):
    with server.client() as client:
        client.set("k", "v")
        assert link.fetch([b"k"], LOG)[0] == [b"v"]
        client.execute_command("ACL", "SETUSER", "default", "-mget")
        with pytest.raises(UnreachableError):
            link.fetch([b"k"], LOG)
        client.execute_command("ACL", "SETUSER", "default", "+mget")
    assert link.fetch([b"k"], LOG) == ([b"v"], b"1" * 32)
