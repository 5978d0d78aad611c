"""An event loop sends and reads by itself, and leaves to a thread what is out of the ordinary."""

from __future__ import annotations

import asyncio
import select
import sys
import threading

import pytest
from tests.waiting import wait_until

from cenote import CacheManager, ConfigurationError, InvalidKeyError
from cenote.invalidation.network import Link

pytestmark = pytest.mark.parametrize("kind", ["valkey"])

KEYS = [f"chapter:{number}" for number in range(200)]


@pytest.fixture
def shop(server, tmp_path):
    """Return what makes a manager of which the cache "shop" has entries at the server alone."""
    managers = []

    def make(url=server.url, query=""):
        with CacheManager(f"{server.url}?dir={tmp_path / 'other'}&lease=5") as caches:
            caches.service("shop").set_many({key: f"value of {key}" for key in KEYS})
        managers.append(CacheManager(f"{url}?dir={tmp_path / 'own'}&lease=5{query}"))
        cache = managers[-1].service("shop")
        wait_until(lambda: managers[-1]._log.holds_lease)
        return cache

    yield make
    for manager in managers:
        manager.close()


@pytest.fixture
def threads(monkeypatch):
    """How many names were read in threads, once for each question."""
    asked = []
    read = Link.fetch

    def watched(self, keys, log):
        asked.append(len(keys))
        return read(self, keys, log)

    monkeypatch.setattr(Link, "fetch", watched)
    return asked


async def each(cache, keys):
    """Read keys side by side."""
    return await asyncio.gather(*(cache.aget(key) for key in keys))


async def lent(cache, threads):
    """Return once the loop has a connection of its own: there may be none to lend while something else uses it."""
    async with asyncio.timeout(20):
        while True:
            threads.clear()
            await cache.aget("nobody has it")
            if not threads:
                return


def right(keys):
    """Return what must be found."""
    return [f"value of {key}" for key in keys]


def test_what_tasks_ask_is_asked_without_a_thread(shop, threads):
    cache = shop()

    async def main():
        await lent(cache, threads)
        assert await each(cache, KEYS) == right(KEYS)
        assert await each(cache, ["there is none"]) == [None]

    asyncio.run(main())
    assert threads == []


def test_what_the_server_has_is_not_loaded_and_no_thread_asks(shop, threads):
    cache = shop()

    def load():
        pytest.fail("what is there was loaded")

    async def main():
        await lent(cache, threads)
        found = await asyncio.gather(*(cache.aget_or_load(key, load) for key in KEYS[1:]))
        assert found == right(KEYS[1:])
        with pytest.raises(ConfigurationError):
            await cache.aget_or_load(KEYS[1], load, ttl=-1)
        for wrong in ("", None):
            with pytest.raises(InvalidKeyError):
                await cache.aget_or_load(wrong, load)

    asyncio.run(main())
    assert threads == []


def test_a_load_in_a_loop_looks_at_the_server_once(shop, server, threads):
    cache = shop()

    def looks():
        with server.client() as client:
            return client.info("commandstats")["cmdstat_mget"]["calls"]

    async def main():
        await lent(cache, threads)
        before = looks()
        assert await cache.aget_or_load("there is none", lambda: "made") == "made"
        return looks() - before

    assert asyncio.run(main()) == 1
    assert threads == []


def test_values_of_any_size_and_any_bytes_come_whole(shop, threads):
    cache = shop(query="&max_value_bytes=8000000")
    values = {"empty": b"", "marks": b"\r\n$-1\r\n*2\r\n", **{f"large {n}": b"v" * (n << 20) for n in (1, 2, 3)}}
    cache.set_many(values)
    cache._core.forget()

    async def main():
        await lent(cache, threads)
        assert await each(cache, list(values)) == list(values.values())

    asyncio.run(main())
    assert threads == []


def test_the_loop_goes_on_while_the_server_is_silent_and_finds_nothing_in_the_end(shop, server, threads):
    cache = shop()

    async def main():
        await each(cache, KEYS[:1])
        server.pause()
        try:
            reading = asyncio.ensure_future(each(cache, KEYS[1:40]))
            for _ in range(500):
                await asyncio.sleep(0)
            assert not reading.done()
            return await asyncio.wait_for(reading, 20)
        finally:
            server.resume()

    threads.clear()
    assert asyncio.run(main()) == [None] * 39
    wait_until(lambda: asyncio.run(each(cache, KEYS[1:2])) == right(KEYS[1:2]))


@pytest.mark.parametrize("count", [0, 3, 1000])
def test_an_answer_that_is_cut_off_is_asked_for_once_more(shop, site, count):
    proxy = site.proxy("a")
    cache = shop(proxy.url)

    async def main():
        await each(cache, KEYS[:1])
        trap = proxy.cut_at(b"MGET", count)
        found = await each(cache, KEYS[1:])
        assert trap.sprung.is_set()
        return found

    assert asyncio.run(main()) == right(KEYS[1:])


def test_a_connection_that_the_server_closed_is_given_up(shop, server, threads):
    cache = shop()

    async def main():
        await each(cache, KEYS[:1])
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        return await each(cache, KEYS[1:])

    assert asyncio.run(main()) == right(KEYS[1:])


def test_a_refusal_finds_nothing_and_the_next_answer_is_the_right_one(shop, server):
    cache = shop()

    async def main():
        await each(cache, KEYS[:1])
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "default", "-mget")
            assert await each(cache, KEYS[1:40]) == [None] * 39
            client.execute_command("ACL", "SETUSER", "default", "+mget")
        assert await each(cache, KEYS[1:40]) == right(KEYS[1:40])

    asyncio.run(main())


def test_an_answer_that_cannot_be_judged_is_an_error_of_who_asked(shop):
    cache = shop()

    def fail(*answer):
        raise ZeroDivisionError

    async def main():
        await each(cache, KEYS[:1])
        cache._core._store._checked = fail
        return await asyncio.wait_for(asyncio.gather(*map(cache.aget, KEYS[1:40]), return_exceptions=True), 20)

    assert {type(found) for found in asyncio.run(main())} == {ZeroDivisionError}


def test_who_is_cancelled_takes_no_answer_from_others(shop, threads):
    cache = shop()

    async def main():
        await each(cache, KEYS[:1])
        tasks = [asyncio.ensure_future(cache.aget(key)) for key in (*KEYS[1:], *KEYS[1:])]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        return [await task for number, task in enumerate(tasks) if number % 3]

    asked = (*KEYS[1:], *KEYS[1:])
    assert asyncio.run(main()) == right([key for number, key in enumerate(asked) if number % 3])


def test_a_connection_outlasts_its_event_loop(shop, server):
    cache = shop()

    def connections():
        with server.client() as client:
            return {each["id"] for each in client.client_list() if each["cmd"] != "client|list"}

    async def main(key):
        await each(cache, [key])
        await each(cache, [key + "!"])

    asyncio.run(main(KEYS[0]))
    asyncio.run(main(KEYS[1]))
    before = connections()
    for key in KEYS[2:12]:
        asyncio.run(main(key))
    assert connections() <= before


def test_threads_whose_event_loops_are_short_read_side_by_side(shop):
    cache = shop()
    failures = []

    def run():
        try:
            for number in range(300):
                assert asyncio.run(cache.aget(f"nothing:{number}")) is None
        except Exception as error:  # noqa: BLE001  # the test says which
            failures.append(error)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        running = [threading.Thread(target=run) for _ in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert failures == []


def test_loops_of_several_threads_read_by_themselves(shop):
    cache = shop()
    found = {}

    def run(number):
        found[number] = asyncio.run(each(cache, KEYS[number::4]))

    running = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert found == {number: right(KEYS[number::4]) for number in range(4)}


@pytest.fixture
def loop():
    """An event loop of this test's own."""
    found = asyncio.new_event_loop()
    yield found
    found.close()


@pytest.fixture
def link(server):
    """A link that has an idle connection."""
    found = Link(server.url, "shop", answer=0.2)
    assert found.fetch([b"k"], "log")[0] == [None]
    yield found
    found.close()


async def asked(link, line):
    """Return what a line answers; None where it ends before."""
    came = asyncio.get_running_loop().create_future()
    assert link.fetch_on(line, [b"k"], "log", came.set_result)
    return await came


async def given(link):
    """Return the line of the running event loop."""
    return link.line(asyncio.get_running_loop())


def test_a_line_ends_when_an_answer_is_late_and_the_server_is_out_of_reach_then(link, loop, server):
    line = loop.run_until_complete(given(link))
    assert loop.run_until_complete(asked(link, line)) == ([None], None)
    server.pause()
    try:
        assert loop.run_until_complete(asked(link, line)) is None
        assert link.resting
        assert not line.open
    finally:
        server.resume()


def test_a_line_ends_when_it_is_to_be_found_out_anew_where_the_server_is(link, loop):
    line = loop.run_until_complete(given(link))
    link.look_anew()
    wait_until(lambda: loop.run_until_complete(asyncio.sleep(0)) or not line.open)
    assert link.fetch([b"k"], "log")[0] == [None]


def test_what_came_while_the_loop_stood_still_is_read_before_the_server_is_called_silent(link, loop, server):
    line = loop.run_until_complete(given(link))

    async def ask():
        came = loop.create_future()
        assert link.fetch_on(line, [b"k"], "log", came.set_result)
        return came

    server.pause()
    came = loop.run_until_complete(ask())
    server.resume()
    select.select([line._socket], [], [], 20)
    assert not came.done()
    line._until = 0.0
    line._look()
    assert came.done()
    assert not link.resting


def test_no_connection_is_left_when_the_link_is_closed_though_the_loop_does_not_go_on(link, loop, server):
    loop.run_until_complete(given(link))
    link.close()
    with server.client() as client:
        wait_until(lambda: len(client.client_list()) == 1)


def test_without_an_idle_connection_there_is_no_line(server, loop):
    link = Link(server.url, "shop")
    assert loop.run_until_complete(given(link)) is None
    link.close()
