"""One load of a key among all processes, and nobody waits for what does not come."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from tests.waiting import wait_until

from cenote.errors import LoadTimeoutError

LOADER = """
def load():
    connection.send("loading")
    return connection.recv()
"""
LOAD = "connection.send(('done', cache.get_or_load('k', load)))"


def busy(caches, key="k"):
    """Whether a process has a claim on a key."""
    core = caches.service("shop")._core
    return core.log.claims.is_busy("shop", key, core.current().generation)


def test_four_processes_that_ask_at_once_run_the_loader_once(start, open_manager):
    caches = open_manager()
    processes = [start(LOADER) for _ in range(4)]
    processes[0].tell(LOAD)
    assert processes[0].receive() == "loading"
    for process in processes[1:]:
        process.tell(LOAD)
    assert busy(caches)
    processes[0].send("loaded once")
    for process in processes:
        assert process.receive() == ("done", "loaded once")
        process.answer()
    assert not busy(caches)
    assert caches.service("shop").get("k") == "loaded once"


def test_the_load_of_a_killed_process_is_taken_over_at_once(start):
    one, other = start(LOADER), start(LOADER)
    one.tell(LOAD)
    assert one.receive() == "loading"
    other.tell(LOAD)
    one.kill()
    begin = time.monotonic()
    assert other.receive() == "loading"
    assert time.monotonic() - begin < 5.0
    other.send("mine")
    assert other.receive() == ("done", "mine")
    other.answer()


def test_a_loader_of_many_gets_only_the_keys_that_no_other_process_loads(start):
    many = """
    def load_many(keys):
        connection.send(("loading", keys))
        said = connection.recv()
        return {key: said for key in keys}
    """
    one, other = start(), start()
    order = "connection.send(('done', cache.get_or_load_many({!r}, load_many)))"
    for process, keys in ((one, ["a", "b"]), (other, ["b", "c"])):
        process.do(many)
        process.tell(order.format(keys))
        assert process.receive() == ("loading", keys[1:] if process is other else keys)
    other.send("other")
    one.send("one")
    assert one.receive() == ("done", {"a": "one", "b": "one"})
    assert other.receive() == ("done", {"b": "one", "c": "other"})
    for process in (one, other):
        process.answer()


@pytest.mark.parametrize("clear", ["cache.clear()", "caches.clear_all()"])
def test_nobody_waits_for_a_load_from_before_a_clear(start, clear):
    one, other = start(LOADER), start(LOADER)
    one.tell(LOAD)
    assert one.receive() == "loading"
    other.do(clear)
    other.tell(LOAD)
    assert other.receive() == "loading"
    other.send("new")
    assert other.receive() == ("done", "new")
    other.answer()
    one.send("old")
    assert one.receive() == ("done", "old")
    one.answer()
    assert one.ask("cache.get('k')") == other.ask("cache.get('k')") == "new"


def test_who_waits_for_a_load_that_fails_loads_by_itself(start):
    one, other = start(LOADER), start(LOADER)
    one.do("def load():\n    connection.send('loading'); connection.recv(); raise KeyError('no')")
    one.tell(LOAD)
    assert one.receive() == "loading"
    other.tell(LOAD)
    one.send("fail")
    with pytest.raises(KeyError):
        one.answer()
    assert other.receive() == "loading"
    other.send("mine")
    assert other.receive() == ("done", "mine")
    other.answer()


NEEDY = """
def need(first, second):
    def outer():
        connection.send("inside")
        connection.recv()
        return cache.get_or_load(second, lambda: "alone")
    return cache.get_or_load(first, outer)
"""


def test_two_processes_whose_loaders_need_each_others_keys_both_end(start):
    one, other = start(NEEDY), start(NEEDY)
    one.tell("connection.send(need('a', 'b'))")
    other.tell("connection.send(need('b', 'a'))")
    assert one.receive() == other.receive() == "inside"
    one.send("go on")
    other.send("go on")
    begin = time.monotonic()
    assert one.receive() == "alone"
    assert other.receive() == "alone"
    assert time.monotonic() - begin < 5.0
    one.answer()
    other.answer()


def test_load_timeout_bounds_the_wait_for_another_process(start, open_manager):
    holder = start(LOADER)
    holder.do("cache = caches.service('slow')")
    holder.tell(LOAD)
    assert holder.receive() == "loading"
    cache = open_manager().service("slow", load_timeout=0.3)
    begin = time.monotonic()
    try:
        value = cache.get_or_load("k", lambda: "mine")
    except LoadTimeoutError:
        value = "mine"
    assert value == "mine"
    assert time.monotonic() - begin < 2.0
    holder.send("late")
    assert holder.receive() == ("done", "late")
    holder.answer()


def test_a_task_that_waits_for_another_process_does_not_block_its_loop(start, open_manager):
    holder = start(LOADER)
    holder.tell(LOAD)
    assert holder.receive() == "loading"
    cache = open_manager().service("shop")

    async def both():
        async def never():
            return "mine"

        waiting = asyncio.create_task(cache.aget_or_load("k", never))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        holder.send("theirs")
        return await asyncio.wait_for(waiting, 10)

    assert asyncio.run(both()) == "theirs"
    assert holder.receive() == ("done", "theirs")
    holder.answer()


def test_a_refresh_does_not_wait_for_another_process(start, open_manager):
    holder = start()
    holder.do(
        """
        @cache.memoize(name="loaded")
        def loaded(number: int) -> str:
            connection.send("loading")
            return connection.recv()
        """
    )
    holder.tell("connection.send(('done', loaded(1)))")
    assert holder.receive() == "loading"
    cache = open_manager().service("shop")

    @cache.memoize(name="loaded")
    def loaded(number: int) -> str:
        return "fresh"

    done = []
    thread = threading.Thread(target=lambda: done.append(loaded.refresh(1)))
    thread.start()
    thread.join(10)
    assert done == ["fresh"]
    holder.send("old")
    assert holder.receive() == ("done", "old")
    holder.answer()
    wait_until(lambda: holder.ask("cache.get('loaded(1)')") == "fresh", 5)
    assert cache.get("loaded(1)") == "fresh"
