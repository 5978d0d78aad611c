"""Processes that stand still while others clear: stopped, an event loop that is blocked, a GIL that is held."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.parametrize("kind", ["valkey"]), pytest.mark.long]


def test_a_process_that_was_stopped_across_a_clear_serves_nothing_from_before(site, apart):
    one, other = apart
    for longer in (False, True):
        other.stop()
        result = site.clear(one)
        # Its machine's agent has answered in its stead.
        assert (result.level, result.lapsed) == ("network", ())
        if longer:
            site.outlast(one)
        other.resume()
        site.warm(other)
    site.judge(one, other)


def test_a_blocked_event_loop_delays_no_clear_and_serves_nothing_from_before(site, apart):
    one, other = apart
    other.tell(
        """
        import asyncio
        async def load():
            return now()
        async def read():
            start = now()
            value = await cache.aget_or_load("k", load)
            history.read(start, Stamped(None, value), cache="shop", key="k")
            return start
        async def main():
            reading = asyncio.get_running_loop().create_task(read())
            await reading
            connection.send("blocked")
            connection.recv()
            for _ in range(3):
                await read()
        asyncio.run(main())
        """
    )
    assert other.receive() == "blocked"
    result = site.clear(one)
    assert (result.level, result.lapsed) == ("network", ())
    site.outlast(one)
    other.send("go on")
    other.answer()
    site.judge(one, other)


@pytest.mark.parametrize("agent", ["process", "thread"])
def test_a_clear_waits_for_an_agent_that_a_held_lock_of_the_interpreter_keeps_from_answering(site, agent):
    one, other = site.process("a"), site.process("b", query=f"&agent={agent}")
    site.ripen(one)
    site.leased(other)
    site.witness(one, other)
    other.tell(
        f"""
        import ctypes
        connection.send("held")
        ctypes.PyDLL(None).usleep({int(4e6 * site.lease)})
        """
    )
    assert other.receive() == "held"
    result = site.clear(one)
    assert result.level == "network"
    assert result.seconds < site.longest
    assert len(result.lapsed) == (agent == "thread")
    other.answer()
    site.leased(other)
    site.warm(other)
    site.judge(one, other)
