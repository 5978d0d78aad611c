"""Processes that stand still while others clear: stopped, an event loop that is blocked, a GIL that is held."""

from __future__ import annotations

import os

import pytest

pytestmark = [pytest.mark.servers("valkey"), pytest.mark.long]


@pytest.mark.servers("valkey", "redis")
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
def test_a_clear_waits_for_an_agent_that_a_held_lock_of_the_interpreter_keeps_from_answering(site, agent, tmp_path):
    held, let_go = tmp_path / "held", tmp_path / "let go"
    os.mkfifo(held)
    os.mkfifo(let_go)
    one, other = site.process("a"), site.process("b", query=f"&agent={agent}")
    site.ripen(one)
    site.leased(other)
    site.witness(one, other)
    # A shell tells so, and is waited for, while the lock is held.
    command = f"echo > '{held}'; cat '{let_go}'"
    other.tell(f"import ctypes; ctypes.PyDLL(None).system({command.encode()!r})")
    held.read_text()
    result = site.clear(one)
    assert result.level == "network"
    assert result.seconds < site.longest
    assert len(result.lapsed) == (agent == "thread")
    let_go.write_text("")
    other.answer()
    site.leased(other)
    site.warm(other)
    site.judge(one, other)
