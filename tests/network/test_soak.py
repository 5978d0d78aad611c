"""Processes on several machines do everything at once while agents and servers fail, and the checker judges it all.

Each guard of the protocol is taken out once: what is served then shows that the tests would notice.
"""

from __future__ import annotations

import os
import signal

import pytest
from tests.machine.processes import state_of
from tests.waiting import wait_until

from .soak import soak


@pytest.mark.long
@pytest.mark.parametrize(("kind", "replicated"), [("valkey", False), ("redis", True)])
def test_no_read_is_stale_while_agents_links_and_servers_fail(kind, replicated):
    report = soak(60, kind=kind, replicated=replicated)
    assert not report.failed, str(report)
    assert not report.violations, str(report)
    assert report.kills, str(report)
    assert all(report.faults.values()), str(report)
    assert report.reads > 5000, str(report)
    assert report.invalidations > 10, str(report)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["valkey"])
def test_no_clear_that_succeeded_is_broken_by_copies_that_nobody_can_verify(kind):
    report = soak(30, kind=kind, unverified=1.0)
    assert not report.failed, str(report)
    assert not report.violations, str(report)
    assert report.kills, str(report)
    assert all(report.faults.values()), str(report)
    assert report.reads > 500, str(report)
    assert report.invalidations > 5, str(report)


IMPATIENT = """
from cenote.invalidation.log import Members
from cenote.invalidation.network.log import NetworkLog
NetworkLog.await_members = lambda self, receipt: Members()
"""

TRUSTING = """
from dataclasses import replace
from cenote.invalidation.network.log import NetworkLog
wait = NetworkLog.await_members
NetworkLog.await_members = lambda self, receipt: wait(self, replace(receipt, mature=True))
"""

UNCONDITIONAL = """
from cenote.invalidation.network import value_scripts
source = value_scripts.PUT
value_scripts.PUT = source.replace("return 0", "local ignored = 0")
"""


@pytest.fixture
def pair(site):
    """Return what starts a process on each of two machines, with copies of an entry in memory, one of them broken."""

    def start(broken="", other_broken=""):
        site.lease = 4.0
        one, other = site.process("a", broken), site.process("b", other_broken)
        site.mature(one)
        one.do("cache.set('k', 'old')")
        for _ in range(3):
            site.reads(other, "old")
        return one, other

    return start


def stop(pid):
    """Stop a process and wait until it is stopped."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T")


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_clear_that_waits_for_nobody_would_be_found(pair, site):
    one, other = pair(IMPATIENT)
    stop(site.agent("b"))
    one.do("cache.clear()")
    assert other.ask("cache.get('k')") == "old"


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_clear_that_trusts_the_members_of_a_new_log_would_be_found(pair, site, server):
    one, other = pair(TRUSTING)
    stop(site.agent("b"))
    with server.client() as client:
        client.flushall()
    one.do("cache.clear()")
    assert other.ask("cache.get('k')") == "old"


@pytest.mark.parametrize("kind", ["valkey"])
def test_a_server_that_keeps_every_load_would_be_found(pair, site):
    one, other = pair("", UNCONDITIONAL)
    other.do("cache.delete('k')")
    other.tell(
        """
        from cenote.remote import RemoteCore
        may = RemoteCore._may_publish
        def held(self, flight, entry):
            found = may(self, flight, entry)
            connection.send("about to be kept")
            connection.recv()
            return found
        RemoteCore._may_publish = held
        cache.get_or_load("k", lambda: "old")
        """
    )
    assert other.receive() == "about to be kept"
    one.do("cache.delete('k')")
    other.send("go on")
    assert other.receive() == "about to be kept"
    other.send("go on")
    other.answer()
    site.reads(one, "old")
