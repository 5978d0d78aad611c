"""Real servers, and processes on machines that are directories here."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.machine.processes import Process, state_of
from tests.network.clusters import Cluster
from tests.network.proxy import Proxy
from tests.network.servers import KINDS, Server, agents, binary
from tests.waiting import wait_until

from cenote import ClearFailedError
from cenote.invalidation.network.link import ANSWER_SECONDS
from cenote.testing import History, assert_strict

LEASE = 0.5
SOON = 2 * ANSWER_SECONDS + 2.0
"""Seconds after which a clear has failed at a server that does not answer: one answer is waited for, or two."""
RENEWALS = 4
"""How often a lease is renewed before the first one is over."""

WITNESS = """
import threading, time
from cenote.testing import History, Stamped
history, halt, failed = History(now), threading.Event(), []
hits = row = 0
def witness():
    global hits, row
    try:
        while not halt.wait(0.0003):
            start = now()
            value = cache.get_or_load("k", now, tags=["t"])
            history.read(start, Stamped(None, value), cache="shop", key="k", tags=["t"])
            hits += value < start
            row = row + 1 if value >= start else 0
    except BaseException as error:
        failed.append(repr(error))
reader = threading.Thread(target=witness, daemon=True)
reader.start()
"""

SCOPES = {
    "cache.clear()": "cache='shop'",
    "caches.clear_all()": "everything=True",
    "cache.delete('k')": "cache='shop', keys=['k']",
    "cache.invalidate_tags('t')": "cache='shop', tags=['t']",
    "cache.clear(prefix='k')": "cache='shop', prefix='k'",
}


def pytest_generate_tests(metafunc):
    """Run what asks for ``kind`` against both servers, or those that it, or its file, is marked with.

    One that is missing fails where tests must be whole.
    """
    own = any("kind" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "kind" in metafunc.fixturenames and not own:
        mark = metafunc.definition.get_closest_marker("servers")
        kinds = mark.args if mark else KINDS
        here = [kind for kind in kinds if binary(kind) or os.environ.get("CI")] or kinds[:1]
        # One server is enough for a second Python.
        metafunc.parametrize("kind", [*here[:1], *(pytest.param(kind, marks=pytest.mark.long) for kind in here[1:])])


@pytest.fixture
def server(kind):
    """A server of this test's own."""
    with Server(kind) as running:
        yield running


HOWTO = Path(__file__).parents[2] / "docs" / "howto" / "redis.md"


@pytest.fixture
def rights():
    """Return the rights that are documented under a heading."""

    def found(heading):
        section = HOWTO.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        return re.search(r"```text\n(.*?)```", section, re.DOTALL)[1].split()

    return found


@dataclass
class Cleared:
    """After how many seconds an invalidation answered, and what it said if it says more than a figure."""

    seconds: float
    level: str | None
    lapsed: tuple[str, ...] | None


class Site:
    """Machines that share a server, as directories, and the processes on them."""

    def __init__(self, server, folder, lease=LEASE, query=""):
        self.server, self._folder, self.lease, self._query = server, folder, lease, query
        self._processes = []
        self._proxies = {}

    def directory(self, machine):
        """Return the directory of a machine."""
        return self._folder / machine

    def url(self, machine, *, base=None, query=""):
        """Return what a process on a machine connects to."""
        return f"{base or self.server.url}?dir={self.directory(machine)}&lease={self.lease}{self._query}{query}"

    def proxy(self, machine):
        """Return the proxy through which a machine reaches the server, if it is to go through one."""
        if machine not in self._proxies:
            self._proxies[machine] = Proxy(self.server)
        return self._proxies[machine]

    def process(self, machine, setup="", *, within=(), **how):
        """Start a process on a machine; it sees ``caches`` and ``cache``."""
        found = Process(self.url(machine, **how), setup, within)
        self._processes.append(found)
        return found

    def agent(self, machine, *, but=None):
        """Return the process of a machine's agent, once there is one, and not the one that was before."""
        found = []

        def one():
            found[:] = agents(self.directory(machine))
            return len(found) == 1 and found[0] != but

        wait_until(one)
        return found[0]

    def member(self, machine):
        """Return what a machine's member is called, behind the name of the host."""
        (lock,) = self.directory(machine).glob("*.agent")
        return lock.read_text().partition("@")[0]

    @staticmethod
    def reads(process, value, key="k"):
        """Wait until a process reads a value; a read without a lease may find none."""
        wait_until(lambda: process.ask(f"cache.get({key!r})") == value)

    def spread(self, *processes, value="old"):
        """Store an entry, and have each process read it until that comes from its own memory."""
        processes[0].do(f"cache.set('k', {value!r}, tags=['t'])")
        for process in processes:
            for _ in range(3):
                self.reads(process, value)

    @staticmethod
    def shares(process, key):
        """Wait until what a process loads is kept at the server."""
        wait_until(lambda: process.ask(f"cache.get_or_load({key!r}, now) == cache.get({key!r})"))

    @staticmethod
    def leased(process):
        """Wait until a process's machine has a lease."""
        wait_until(lambda: process.ask("caches._log.holds_lease or cache.get('nothing', False)"))

    @staticmethod
    def insist(process, statement):
        """Have a process do something as soon as the server can be told."""

        def done():
            try:
                process.do(statement)
            except ClearFailedError:
                return False
            return True

        wait_until(done)

    @staticmethod
    def followed(process):
        """Return the incarnation that a process follows; "" for none."""
        return process.ask("caches._log.incarnation if caches._log.connected else ''")

    def leaves(self, process, incarnation):
        """Wait until a process follows another incarnation, with a lease."""
        wait_until(lambda: self.followed(process) not in (incarnation, ""))
        self.leased(process)

    @staticmethod
    def outlast(process):
        """Wait until every machine has renewed its lease so often that the one that it had is over."""
        asked = "{peer.name: peer.renewals for peer in caches._log.peers()}"
        before = process.ask(asked)

        def over():
            now = process.ask(asked)
            return all(now.get(name, 0) >= number + RENEWALS * len(before) for name, number in before.items())

        wait_until(over)

    def ripen(self, process):
        """Have the first clear over, which waits until no lease of an earlier incarnation can last."""
        process.ask("cache.clear().level")

    def mature(self, process):
        """Do the same, and wait until the server says so: no later clear waits for leases that nobody knows of."""
        self.ripen(process)
        with self.server.client() as client:
            wait_until(lambda: client.hget("cenote:{cenote}:log", "mature") == b"1")

    # Judging what is read while something fails

    def witness(self, *processes):
        """Have processes read a key all the time from now on, and write down what they are served."""
        for process in processes:
            process.do(WITNESS)
        self.warm(*processes)

    def warm(self, *processes):
        """Wait until witnesses are served from a cache."""
        for process in processes:
            before = process.ask("hits")
            wait_until(lambda one=process, least=before + 5: one.ask("hits") > least)

    def read_on(self, *processes):
        """Wait until witnesses have read some more, whatever they are served; none of them has an error."""
        for process in processes:
            before = process.ask("len(history.reads)")
            wait_until(lambda one=process, least=before + 20: one.ask(f"len(history.reads) > {least} or failed"))
            assert process.ask("failed") == []

    def cold(self, *processes):
        """Wait until witnesses load again and again, one time after the other; none of them has an error."""
        for process in processes:
            wait_until(lambda one=process: one.ask("row >= 20 or failed"))
            assert process.ask("failed") == []

    def clear(self, process, call="cache.clear()"):
        """Have a witness invalidate what it reads; the judge asks about it if it succeeds."""
        process.do(
            f"""
            begin = now()
            with history.invalidation({SCOPES[call]}):
                result = {call}
            spent = (now() - begin) / 1e9
            """
        )
        return Cleared(*process.ask("(spent, getattr(result, 'level', None), getattr(result, 'lapsed', None))"))

    def refused(self, process, call="cache.clear()", level="machine"):
        """Have a witness invalidate where others cannot be told: that fails soon, and says what it reached."""
        with pytest.raises(ClearFailedError) as caught:
            self.clear(process, call)
        # Behind a failed clear the machine's file is given up; until there is another one nobody can be told.
        assert caught.value.level in {level, "none"}
        assert process.ask("(now() - begin) / 1e9") < SOON

    def judge(self, *processes):
        """Have the checker judge all that witnesses have read, against all that they have invalidated."""
        history = History(time.monotonic_ns)
        for process in processes:
            process.do("halt.set(); reader.join()")
            assert process.ask("failed") == []
            history.extend(process.ask("history"))
        assert_strict(history)
        return history

    @property
    def longest(self):
        """Seconds that a clear may take when somebody does not answer: less than two leases, on a busy machine too."""
        return 1.01 * self.lease + 1.0

    def end(self):
        """End all processes, and the agents."""
        for process in self._processes:
            process.end()
        for machine in self._folder.iterdir():
            for pid in agents(machine):
                os.kill(pid, signal.SIGKILL)
        for proxy in self._proxies.values():
            proxy.close()


@pytest.fixture
def site(server, tmp_path):
    """Machines that share a server."""
    found = Site(server, tmp_path)
    yield found
    found.end()


@pytest.fixture
def clustered(tmp_path):
    """Return what makes machines that share a cluster."""
    sites = []

    def found(cluster):
        sites.append(Site(cluster, tmp_path, query="&cluster=1"))
        return sites[-1]

    yield found
    for each in sites:
        each.end()


@pytest.fixture(scope="module")
def shared(request):
    """A cluster of three masters for the tests of one file, which leave it whole; TAG is what it is about."""
    with Cluster(namespace=request.module.TAG) as running:
        yield running


@pytest.fixture
def emptied(shared, clustered):
    """Machines that share this cluster, which is empty."""
    for node in shared.nodes:
        with node.client() as client:
            client.flushall()
    return clustered(shared)


@pytest.fixture
def two(site):
    """A process on each of two machines, of which both have copies of an entry in memory."""
    one, other = site.process("a"), site.process("b")
    site.ripen(one)
    site.spread(one, other)
    return one, other


@pytest.fixture
def witnesses(request, site):
    """A witness on each of two machines, whose leases outlast what is done to the server at once."""
    site.lease = getattr(request, "param", 1.0)
    found = [site.process(machine) for machine in "ab"]
    site.mature(found[0])
    for process in found:
        site.leased(process)
    site.witness(*found)
    return found


@pytest.fixture
def apart(site):
    """A witness on each of two machines that reach the server through a proxy of their own."""
    found = [site.process(machine, base=site.proxy(machine).url) for machine in "ab"]
    site.ripen(found[0])
    for process in found:
        site.leased(process)
    site.witness(*found)
    return found


@pytest.fixture
def stopped():
    """Return what stops processes, as SIGSTOP does, until the test's end or until they are to go on."""
    pids = []

    def go_on(pid):
        os.kill(pid, signal.SIGCONT)
        pids.remove(pid)

    def stop(pid):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == "T")
        pids.append(pid)
        return lambda: go_on(pid)

    yield stop
    while pids:
        go_on(pids[0])
