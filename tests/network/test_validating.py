"""With ``validate=always`` every read asks the server, and no clear waits for anybody's lease."""

from __future__ import annotations

import os
import signal
import time

import pytest
from tests.machine.processes import state_of
from tests.waiting import wait_until

from .test_strict import READ, WAYS

ALWAYS = "&validate=always"


pytestmark = pytest.mark.servers("valkey")


@pytest.fixture
def two(site):
    """A process on each of two machines, both with copies in memory."""
    one, other = site.process("a", query=ALWAYS), site.process("b", query=ALWAYS)
    site.ripen(one)
    one.do("cache.set('k', 'old', tags=['t'])")
    for process in (one, other):
        wait_until(
            lambda process=process: process.ask("cache.get('k') == 'old' and 'k' in cache._core.state.tables[0]")
        )
    return one, other


@pytest.mark.parametrize("way", WAYS)
def test_an_invalidation_holds_on_another_machine_when_it_returns(two, way):
    one, other = two
    one.do(WAYS[way])
    assert other.ask(READ) is None
    assert one.ask(READ) is None


@pytest.mark.servers("valkey", "redis")
def test_no_clear_waits_for_a_machine_whose_agent_was_stopped_and_nothing_old_is_served_there(two, site):
    one, other = two
    agent = site.agent("b")
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: state_of(agent) == "T")
    try:
        begin = time.monotonic()
        one.do("result = cache.clear()")
        assert time.monotonic() - begin < 2.0
        assert one.ask("(result.level, result.acknowledged, result.lapsed)") == ("network", (), ())
        assert other.ask(READ) is None
    finally:
        os.kill(agent, signal.SIGCONT)


def test_a_copy_is_not_served_while_the_server_is_silent(two, server):
    _, other = two
    server.pause()
    try:
        assert other.ask(READ) is None
        assert other.ask("cache.get_or_load('k', lambda: 'loaded')") == "loaded"
    finally:
        server.resume()
