"""One load of a key among all machines, and nobody waits long for what does not come."""

from __future__ import annotations

import hashlib
import time

import pytest
from tests.waiting import wait_until

from cenote import CacheManager, ClearFailedError
from cenote.invalidation.network import value_scripts
from cenote.invalidation.network.claims import NetworkClaims

LOADER = """
import asyncio
def load():
    connection.send("loading")
    return connection.recv()
"""
LASTING = "from cenote.invalidation.network import claims; claims.CLAIM_SECONDS = 20.0\n"
CLAIM = hashlib.sha1(value_scripts.CLAIM.encode()).hexdigest().encode()
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


# None is left behind


@pytest.fixture
def claimed(server):
    """Return which claims the server has."""

    def found():
        with server.client() as client:
            return client.keys("cenote:{cenote}:c:*")

    return found


@pytest.fixture
def kept(server):
    """Have the server know the script by its digest."""
    with server.client() as client:
        client.script_load(value_scripts.CLAIM)


BUSY = "any(caches._log.claims.is_busy('shop', key, cache._core.state.generation) for key in {keys})"


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_claim_is_given_back_when_the_task_was_cancelled_while_it_was_asked_for(site, claimed, kept):
    one = site.process("a", LOADER + LASTING, base=site.proxy("a").url)
    trap = site.proxy("a").keep_back(CLAIM)
    one.tell(
        """
        async def main():
            task = asyncio.ensure_future(cache.aget_or_load("k", load))
            await asyncio.to_thread(connection.recv)
            task.cancel()
            await asyncio.wait([task])
            connection.send("cancelled")
            await asyncio.to_thread(connection.recv)
        asyncio.run(main())
        """
    )
    assert trap.sprung.wait(10)
    one.send("cancel")
    assert one.receive() == "cancelled"
    site.proxy("a").deliver(trap)
    wait_until(lambda: claimed() == [], 5.0)
    one.send("end")
    one.answer()
    wait_until(lambda: not one.ask(BUSY.format(keys=["k"])), 5.0)


@pytest.mark.parametrize("kind", ["valkey"])
def test_no_claim_is_left_behind_by_tasks_that_are_cancelled_at_any_moment(site, claimed):
    one = site.process("a", LOADER + LASTING)
    one.do(
        """
        import random
        chances = random.Random(1)
        started = 0
        async def slow():
            global started
            started += 1
            await asyncio.sleep(60)
        async def main():
            for n in range(300):
                task = asyncio.ensure_future(cache.aget_or_load(f"k{n}", slow))
                await asyncio.wait([task], timeout=chances.uniform(0, 0.004))
                task.cancel()
                await asyncio.wait([task])
        asyncio.run(main())
        """
    )
    assert 0 < one.ask("started") < 300
    wait_until(lambda: claimed() == [], 5.0)
    wait_until(lambda: not one.ask(BUSY.format(keys=[f"k{n}" for n in range(300)])), 5.0)


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_claim_whose_answer_was_lost_is_had_all_the_same(site, claimed, kept):
    one = site.process("a", LASTING, base=site.proxy("a").url)
    trap = site.proxy("a").cut_at(CLAIM, 0)
    begin = time.monotonic()
    assert one.ask("cache.get_or_load('k', lambda: 'loaded')") == "loaded"
    assert trap.sprung.is_set()
    assert time.monotonic() - begin < 10.0
    wait_until(lambda: claimed() == [], 5.0)


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_claim_whose_answers_were_all_lost_is_given_back(site, claimed, kept):
    one = site.process("a", LASTING, base=site.proxy("a").url)
    trap = site.proxy("a").cut_at(CLAIM, 0, times=2)
    one.do(
        """
        import threading
        entered, go_on = threading.Event(), threading.Event()
        def load():
            entered.set()
            return go_on.wait(20)
        loading = threading.Thread(target=cache.get_or_load, args=("k", load))
        loading.start()
        """
    )
    assert trap.sprung.wait(10)
    assert one.ask("entered.wait(10)")
    wait_until(lambda: not one.ask("caches._log.ledger.link._rest_until"))
    assert len(claimed()) == 1
    one.do("go_on.set(); loading.join()")
    assert claimed() == []


@pytest.mark.parametrize("kind", ["valkey"])
def test_nothing_is_claimed_where_no_incarnation_is_followed(server, site):
    with CacheManager(site.url("a")) as caches:
        log = caches._log

        def followed():
            raise ClearFailedError("the file is being replaced", "none")

        claims = NetworkClaims(log.claims._here, log.ledger, followed)
        with pytest.raises(ClearFailedError):
            claims.take("shop", "k", 0, inside=[], bound=30.0)
        assert not claims.is_busy("shop", "k", 0)
