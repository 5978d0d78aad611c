"""Machines whose cable is pulled: packets vanish, and nobody is told that a connection has ended.

Where no network namespaces can be made this shows only that they were refused; ``test_cuts`` has the same faults over
a proxy.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.network.conftest import SCOPES
from tests.network.hosts import Hosts, ip, refused
from tests.network.servers import Server

from cenote import ClearFailedError

pytestmark = [pytest.mark.parametrize("kind", ["valkey"]), pytest.mark.long]

FEW_SECONDS = 4.0
REFUSED = refused()


@pytest.fixture
def hosts():
    """Two hosts."""
    with Hosts("ab") as found:
        yield found


@pytest.fixture
def server(hosts, kind):
    """A server that both hosts reach."""
    with Server(kind, lines=[f"bind 127.0.0.1 {' '.join(hosts.here.values())}", "protected-mode no"]) as running:
        yield running


@pytest.fixture
def cabled(site, hosts, server):
    """A witness on each host."""
    found = [
        site.process(letter, base=f"redis://{hosts.here[letter]}:{server.port}/0", within=hosts.within(letter))
        for letter in "ab"
    ]
    site.ripen(found[0])
    for process in found:
        site.leased(process)
    site.witness(*found)
    return found


def _a_clear_waits(site, hosts, cabled, call):
    one, other = cabled
    hosts.pull("b")
    result = site.clear(one, call)
    assert result.seconds < site.longest
    if result.level is not None:
        assert result.level == "network"
        assert [name.rpartition("-")[2] for name in result.lapsed] == [site.member("b")]
    assert other.ask("cache.get('k')") is None
    hosts.plug("b")
    site.leased(other)
    site.warm(other)
    again = site.clear(one)
    assert (again.level, again.lapsed) == ("network", ())
    site.judge(one, other)


def _a_clearer_fails(site, hosts, cabled, call):
    one, other = cabled
    hosts.pull("b")
    with pytest.raises(ClearFailedError) as caught:
        site.clear(other, call)
    assert other.ask("(now() - begin) / 1e9") < FEW_SECONDS
    if "delete" not in call:
        assert caught.value.level == "machine"
    # Who is in reach of the server is not held up for longer than a lease.
    assert site.clear(one).level == "network"
    hosts.plug("b")
    site.leased(other)
    site.insist(other, "cache.clear()")
    assert site.clear(other, call).seconds < site.longest
    site.warm(one, other)
    site.judge(one, other)


def _nobody_reaches_the_server(site, hosts, cabled, _):
    one, other = cabled
    for letter in "ab":
        hosts.pull(letter)
    for process in cabled:
        with pytest.raises(ClearFailedError) as caught:
            site.clear(process)
        assert caught.value.level == "machine"
        assert process.ask("cache.get_or_load('k', now) > begin")
    for letter in "ab":
        hosts.plug(letter)
    for process in cabled:
        site.leased(process)
    site.warm(one, other)
    assert site.clear(one).level == "network"
    site.judge(one, other)


if REFUSED is None:

    @pytest.mark.parametrize("call", SCOPES)
    def test_a_clear_waits_for_a_host_whose_cable_was_pulled_until_its_lease_is_over(site, hosts, cabled, call):
        _a_clear_waits(site, hosts, cabled, call)

    @pytest.mark.parametrize("call", ["cache.clear()", "caches.clear_all()", "cache.delete('k')"])
    def test_a_host_whose_cable_was_pulled_clears_nothing_but_itself_and_says_so_soon(site, hosts, cabled, call):
        _a_clearer_fails(site, hosts, cabled, call)

    def test_hosts_that_no_cable_joins_to_the_server_go_on_by_themselves_and_come_back(site, hosts, cabled):
        _nobody_reaches_the_server(site, hosts, cabled, None)

    def test_hosts_of_a_test_that_was_killed_are_removed_by_the_next_one(kind):
        name = f"cn-{int(Path('/proc/sys/kernel/pid_max').read_text()) + 1}-a"
        ip("netns", "add", name)
        with Hosts("y"):
            assert name not in ip("netns", "list")
        assert f"cn-{os.getpid()}" not in ip("netns", "list")


def test_namespaces_are_refused_where_they_cannot_be_made(kind):
    assert REFUSED is None or REFUSED.startswith(("ip ", "there is no ip"))
    if os.environ.get("CI") and os.geteuid() == 0:
        assert shutil.which("ip"), "install iproute2"
