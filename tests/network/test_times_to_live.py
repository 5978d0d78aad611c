"""Nothing stays at a server for ever: every key has a time to live from the moment it is written."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.machine.processes import state_of
from tests.waiting import wait_until

pytestmark = pytest.mark.servers("valkey")

SETUP = """
from contextlib import suppress
def told(call):
    # Nobody acknowledges while the agent is stopped, and some of this needs to be told where the log is by now.
    for _ in range(3):
        with suppress(ClearFailedError):
            return call()
"""
WRITES = {
    "set": "cache.set('k', 1, tags=['t', 'u'])",
    "set_many": "cache.set_many({f'k{n}': n for n in range(300)}, tags=['t'])",
    "load": "cache.get_or_load('loaded', lambda: 1, tags=['t'])",
    "soft tags": "cache.clear(tags=['u'], mode='soft')",
    "tags": "cache.invalidate_tags('t', 'u')",
    "set_many anew": "cache.set_many({f'k{n}': n for n in range(300)}, tags=['t'])",
    "soft prefix": "cache.clear(prefix='k', mode='soft')",
    "prefix": "cache.clear(prefix='k')",
    "delete": "cache.delete('loaded')",
    "soft": "cache.clear(mode='soft')",
    "clear": "cache.clear()",
    "clear_all": "caches.clear_all()",
}


@pytest.fixture
def lasting(server):
    """Return what tells which keys of a server stay for ever."""

    def found():
        with server.client() as client:
            kept = client.keys("*")
            assert kept
            # -1 is for ever; -2 has ended since it was listed.
            return [key for key in kept if client.ttl(key) == -1]

    return found


def test_no_key_stays_for_ever_when_all_machines_die_before_a_renewal(site, server, lasting):
    one = site.process("a", SETUP)
    site.ripen(one)
    # It renews nothing from here on, and no other one takes its place.
    agent = site.agent("a")
    os.kill(agent, signal.SIGSTOP)
    wait_until(lambda: state_of(agent) == "T")
    with server.client() as client:
        client.flushall()
        for name, call in WRITES.items():
            one.do(f"told(lambda: {call})")
            assert lasting() == [], name
        assert client.exists("cenote:{cenote}:log", "cenote:{cenote}:tags") == 2
    one.kill()
    os.kill(agent, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{agent}").exists())
    assert lasting() == []


def test_no_key_stays_for_ever_while_a_load_is_claimed(site, server, lasting):
    one = site.process("a")
    site.ripen(one)
    site.leased(one)
    one.tell("cache.get_or_load('k', lambda: connection.send('loading') or connection.recv(), tags=['t'])")
    assert one.receive() == "loading"
    with server.client() as client:
        assert client.keys("cenote:{cenote}:*:k*")
    assert lasting() == []
    one.send("loaded")
    one.answer()
