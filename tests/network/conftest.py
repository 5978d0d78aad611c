"""Real servers, and processes on machines that are directories here."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from tests.machine.processes import Process, wait_until
from tests.network.servers import Server, agents, binary

LEASE = 0.5


def pytest_generate_tests(metafunc):
    """Run what asks for ``kind`` against both servers; one that is missing fails where tests must be whole."""
    own = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "kind" in metafunc.fixturenames and "kind" not in own:
        here = [kind for kind in ("valkey", "redis") if binary(kind) or os.environ.get("CI")]
        metafunc.parametrize("kind", here)


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


class Site:
    """Machines that share a server, as directories, and the processes on them."""

    def __init__(self, server, folder, lease=LEASE, query=""):
        self.server, self._folder, self.lease, self._query = server, folder, lease, query
        self._processes = []

    def directory(self, machine):
        """Return the directory of a machine."""
        return self._folder / machine

    def url(self, machine, *, base=None, query=""):
        """Return what a process on a machine connects to."""
        return f"{base or self.server.url}?dir={self.directory(machine)}&lease={self.lease}{self._query}{query}"

    def process(self, machine, setup="", **how):
        """Start a process on a machine; it sees ``caches`` and ``cache``."""
        found = Process(self.url(machine, **how), setup)
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

    def ripen(self, process):
        """Have the first clear over, which waits until no lease of an earlier incarnation can last."""
        process.ask("cache.clear().level")

    def end(self):
        """End all processes, and the agents."""
        for process in self._processes:
            process.end()
        for machine in self._folder.iterdir():
            for pid in agents(machine):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def site(server, tmp_path):
    """Machines that share a server."""
    found = Site(server, tmp_path)
    yield found
    found.end()
