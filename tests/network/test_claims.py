"""One load of a key among all machines, and nobody waits long for what does not come."""

from __future__ import annotations

import time

import pytest
from tests.machine.processes import wait_until

LOADER = """
import asyncio
def load():
    connection.send("loading")
    return connection.recv()
"""
LOAD = "connection.send(('done', cache.get_or_load('k', load)))"
ALOAD = "connection.send(('done', asyncio.run(cache.aget_or_load('k', load))))"


@pytest.fixture
def claims(server):
    """How many claims the server was asked for."""

    def count():
        with server.client() as client:
            return client.info("commandstats")["cmdstat_set"]["calls"]

    return count


@pytest.fixture
def pair(site):
    """A process on each of two machines."""
    return site.process("a", LOADER), site.process("b", LOADER)


def asked_again(claims):
    """Wait until somebody who was refused a claim has asked for it again."""
    before = claims()
    wait_until(lambda: claims() >= before + 3)


def loading(process, order=LOAD):
    """Have a process begin a load, and wait until its loader runs."""
    process.tell(order)
    assert process.receive() == "loading"


@pytest.mark.parametrize("order", [LOAD, ALOAD], ids=["threads", "asyncio"])
def test_machines_that_ask_at_once_run_the_loader_once(site, claims, order):
    processes = [site.process(machine, LOADER) for machine in "abcc"]
    loading(processes[0], order)
    for process in processes[1:]:
        process.tell(order)
    asked_again(claims)
    processes[0].send("loaded once")
    for process in processes:
        assert process.receive() == ("done", "loaded once")
        process.answer()


@pytest.mark.parametrize("kind", ["valkey"])
def test_the_load_of_a_process_that_was_killed_is_taken_over(pair, claims):
    one, other = pair
    loading(one)
    other.tell(LOAD)
    asked_again(claims)
    one.kill()
    begin = time.monotonic()
    assert other.receive() == "loading"
    assert time.monotonic() - begin < 3.0 + 1.0
    other.send("mine")
    assert other.receive() == ("done", "mine")
    other.answer()


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_load_that_takes_longer_than_a_claim_keeps_it(pair, claims):
    one, other = pair
    one.do("from cenote.invalidation.network import claims; claims.CLAIM_SECONDS = 2.0")
    loading(one)
    other.tell(LOAD)
    asked_again(claims)
    with pytest.raises(AssertionError):
        wait_until(lambda: other.answered, 4.0)
    one.send("slow")
    for process in pair:
        assert process.receive() == ("done", "slow")
        process.answer()


@pytest.mark.parametrize("kind", ["valkey"])
def test_nobody_waits_for_a_load_from_before_a_clear(pair, site):
    one, other = pair
    site.ripen(other)
    loading(one)
    other.do("cache.clear()")
    loading(other)
    other.send("new")
    assert other.receive() == ("done", "new")
    other.answer()
    one.send("old")
    assert one.receive() == ("done", "old")
    one.answer()
    for process in pair:
        assert process.ask("cache.get_or_load('k', lambda: 'newest')") != "old"


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_load_that_fails_lets_the_next_one_begin(pair, claims):
    one, other = pair
    one.do("def fail(): raise OSError(load())")
    one.tell("cache.get_or_load('k', fail)")
    assert one.receive() == "loading"
    other.tell(LOAD)
    asked_again(claims)
    one.send("no luck")
    with pytest.raises(OSError, match="no luck"):
        one.answer()
    assert other.receive() == "loading"
    other.send("luck")
    assert other.receive() == ("done", "luck")
    other.answer()


@pytest.mark.parametrize("kind", ["valkey"])
def test_loads_inside_of_loads_do_not_wait_in_a_circle_over_machines(pair):
    one, other = pair
    nested = """
    def outer(key):
        connection.send("loading")
        connection.recv()
        return cache.get_or_load(key, lambda: key)
    """
    for process, own, needs in ((one, "x", "y"), (other, "y", "x")):
        process.do(nested)
        process.tell(f"connection.send(('done', cache.get_or_load({own!r}, lambda: outer({needs!r}))))")
        assert process.receive() == "loading"
    for process in pair:
        process.send("go on")
    for process in pair:
        assert process.receive(15)[0] == "done"
        process.answer()
