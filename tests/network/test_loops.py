"""While a server is silent every event loop goes on, also where reads have no lease and must ask it."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

SETUP = """
import asyncio, threading

@cache.memoize(name="doubled")
async def doubled(number):
    return 2 * number

async def load():
    return "loaded"

async def load_many(keys):
    return dict.fromkeys(keys, "loaded")

def patient():
    # Whoever asks the server waits until it answers, so that nothing but that ends the wait.
    link = caches._log.ledger.link
    link.answer = 100.0
    link._connect()
    link._rest_until = 0.0

async def beat(read):
    reading = asyncio.ensure_future(read())
    for _ in range(500):
        await asyncio.sleep(0)
    connection.send(("beating", reading.done()))
    await asyncio.to_thread(connection.recv)
    return await reading
"""

READS = {
    "aget": ("lambda: cache.aget('k')", "old"),
    "aget_many": ("lambda: cache.aget_many(['k'])", {"k": "old"}),
    "aget_or_load": ("lambda: cache.aget_or_load('k', load)", "old"),
    "aget_or_load_many": ("lambda: cache.aget_or_load_many(['k'], load_many)", {"k": "old"}),
    "memoize": ("lambda: doubled(4)", 8),
    "areload": ("lambda: doubled.refresh(4)", 8),
}


def beats(process, read, server):
    """Have a process read in an event loop while the server is silent; return what it read once that answered."""
    process.tell(f"connection.send(('read', asyncio.run(beat({read}))))")
    assert process.receive() == ("beating", False)
    server.resume()
    process.send("go on")
    found = process.receive()
    process.answer()
    return found


@pytest.fixture
def one(site):
    """A process with an entry and copies of it."""
    site.lease = 0.5
    found = site.process("a", SETUP)
    site.ripen(found)
    site.leased(found)
    site.spread(found)
    found.do("assert asyncio.run(doubled(4)) == 8")
    return found


@pytest.fixture
def always(site):
    """The same, where every read asks the server."""
    found = site.process("a", SETUP, query="&validate=always")
    site.ripen(found)
    site.spread(found)
    found.do("assert asyncio.run(doubled(4)) == 8")
    return found


@pytest.mark.parametrize("read", READS)
def test_an_event_loop_goes_on_while_a_read_that_must_always_ask_waits(always, server, read):
    call, value = READS[read]
    always.do("patient()")
    server.pause()
    try:
        assert beats(always, call, server) == ("read", value)
    finally:
        server.resume()


@pytest.mark.parametrize("kind", ["valkey"])
@pytest.mark.parametrize("read", READS)
def test_an_event_loop_goes_on_while_a_read_whose_lease_is_over_waits(one, server, read):
    call, value = READS[read]
    one.do("patient()")
    server.pause()
    try:
        wait_until(lambda: one.ask("not caches._log.holds_lease"))
        found = beats(one, call, server)
    finally:
        server.resume()
    # The lease is back by then, or its renewal found another thing: that the first read answered is what counts.
    assert found in (("read", value), ("read", {"k": "loaded"}), ("read", "loaded"), ("read", None), ("read", {}))


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_thread_that_waits_for_the_server_holds_up_no_event_loop(always, server):
    always.do("patient()")
    server.pause()
    try:
        always.do(
            """
            waiting = [threading.Thread(target=call) for call in (
                lambda: cache.get("k"),
                lambda: cache.get_or_load("other", lambda: 1),
                lambda: cache.get_or_load_many(["another"], lambda keys: dict.fromkeys(keys, 1)),
                lambda: cache.clear(dry_run=True),
                lambda: cache.clear(dry_run=True, prefix="k"),
            )]
            for thread in waiting:
                thread.start()
            """
        )
        # A reload takes the lock that those threads take too, before it asks anything.
        assert beats(always, READS["areload"][0], server) == ("read", 8)
        always.do("for thread in waiting: thread.join()")
    finally:
        server.resume()


@pytest.mark.parametrize("kind", ["valkey"])
def test_the_tasks_of_one_tick_ask_once_whether_they_are_current(always):
    always.do(
        """
        ledger, asked = caches._log.ledger, []
        head = ledger.head
        def counted():
            asked.append(threading.current_thread().name)
            return head()
        ledger.head = counted
        async def all_at_once():
            return await asyncio.gather(*[cache.aget("k") for _ in range(100)])
        found = asyncio.run(all_at_once())
        asked = [name for name in asked if name != "cenote-watcher"]
        """
    )
    assert always.ask("found") == ["old"] * 100
    assert always.ask("len(asked)") == 1
