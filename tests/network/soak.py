"""A soak over several machines: what ``tests.machine.soak`` does, with agents stopped and killed, and servers too.

``python -m tests.network.soak --seconds 60 --processes 8 --machines 4 --threads 2``
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path

from tests.machine.soak import Soak
from tests.network.servers import Server, agents

LEASE = 0.5


class NetworkSoak(Soak):
    """Workers on several machines, which are directories here."""

    set_seen_after = int(LEASE * 1.05e9)

    def __init__(self, folder, server, *, threads, machines, faults=True):
        super().__init__(folder, "redis", threads, broken=False)
        self._server = server
        self._faults = faults
        self.machines = [self._shared / f"m{number}" for number in range(machines)]

    def url(self, number):
        """Return the server, and the directory of one of the machines."""
        return f"{self._server.url}?dir={self.machines[number % len(self.machines)]}&lease={LEASE}"

    def disturb(self, chances):
        """Stop or kill an agent, or do something to the server."""
        if not self._faults:
            return
        chance = chances.random()
        found = agents(self.machines[chances.randrange(len(self.machines))])
        with contextlib.suppress(ProcessLookupError):
            if chance < 0.3 and found:
                os.kill(found[0], signal.SIGKILL)
            elif chance < 0.6 and found:
                os.kill(found[0], signal.SIGSTOP)
                threading.Timer(chances.uniform(0.1, 3 * LEASE), _resume, found[:1]).start()
            elif chance < 0.7:
                self._server.client().flushall()
            elif chance < 0.8:
                self._server.kill()
                self._server.start()
            elif chance < 0.9:
                self._server.pause()
                threading.Timer(chances.uniform(0.1, 3 * LEASE), self._server.resume).start()


def _resume(pid, *_):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def soak(seconds, *, kind="valkey", processes=8, machines=4, threads=2, seed=None, faults=True):
    """Run a soak and return its report."""
    with tempfile.TemporaryDirectory() as folder, Server(kind) as server:
        run = NetworkSoak(Path(folder), server, threads=threads, machines=machines, faults=faults)
        try:
            run.run(seconds, processes, random.Random(seed))
            run.judge()
        finally:
            for machine in run.machines:
                for pid in agents(machine):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        return run.report


def main(arguments):
    """Run a soak and print its report."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--machines", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--kind", choices=["valkey", "redis"], default="valkey")
    parser.add_argument("--calm", action="store_true", help="no faults but killed workers")
    options = parser.parse_args(arguments)
    report = soak(
        options.seconds,
        kind=options.kind,
        processes=options.processes,
        machines=options.machines,
        threads=options.threads,
        seed=options.seed,
        faults=not options.calm,
    )
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations or report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
