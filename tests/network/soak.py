"""A soak over several machines: what ``tests.machine.soak`` does, while agents, links and servers fail too.

``python -m tests.network.soak --seconds 60 --processes 8 --machines 4 --threads 4 --replicated``
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from redis.exceptions import RedisError
from tests.machine.soak import Soak
from tests.network.proxy import Proxy
from tests.network.servers import Server, agents

LEASE = 0.5
LONGEST = 3 * LEASE
"""Seconds that something is stopped or cut off at most: some leases end meanwhile, others do not."""

LINES = ("auto-aof-rewrite-percentage 0", "maxmemory-policy noeviction")
WRITTEN = ("appendfsync no",)
"""What is answered was written before, and survives that the server is killed. No power fails here."""


class NetworkSoak(Soak):
    """Workers on several machines, which are directories here, each behind a proxy of its own."""

    set_seen_after = int(LEASE * 1.05e9)
    reading = 0.97
    burst = 32
    killing = 0.3

    def __init__(self, folder, servers, *, threads, machines, faults=True, unverified=0.0):
        super().__init__(folder, "redis", threads, broken=False)
        self._unverified = unverified
        self.set_seen_after += int(unverified * 1.05e9)
        self._master, *self._replicas = servers
        self._copy = folder / "copy"
        self._timers = []
        self.machines = [self._shared / f"m{number}" for number in range(machines)]
        self.proxies = [Proxy(self._master) for _ in self.machines]
        self._faults = [
            *2 * [self.kill_agent, self.stop_agent, self.stop_worker],
            *[self.pause_server, self.kill_server, self.flush, self.fill_up],
            *2 * [self.drop, self.cut_in_the_middle, self.hold, self.delay, self.keep_back],
            *(6 * [self.fail_over] if self._replicas else 2 * [self.copy, self.roll_back]),
        ]
        if not faults:
            self._faults = []
        self.report.faults.update({_name(fault): 0 for fault in self._faults})

    def url(self, number):
        """Return the proxy and the directory of one of the machines."""
        at = number % len(self.machines)
        demanded = f"&replicas={len(self._replicas) - 1}" if self._replicas else ""
        demanded += f"&serve_unverified={self._unverified}" * bool(self._unverified)
        return f"{self.proxies[at].url}?dir={self.machines[at]}&lease={LEASE}{demanded}"

    def disturb(self, chances):
        """Have one or two things fail; what has not failed yet goes first, so that a short soak has all of it too."""
        due = [fault for fault in dict.fromkeys(self._faults) if not self.report.faults[_name(fault)]]
        number = 2 if due else chances.choice((1, 1, 2))
        for fault in chances.sample(due or self._faults, min(len(due or self._faults), number)):
            with contextlib.suppress(RedisError, OSError):
                fault(chances)
                self.report.faults[_name(fault)] += 1

    def lacks(self):
        """Return whether a kind of fault did not occur yet."""
        return not all(self.report.faults.values())

    def _later(self, chances, undo, *arguments):
        timer = threading.Timer(chances.uniform(0.05, LONGEST), undo, arguments)
        timer.start()
        self._timers.append(timer)

    def calm(self):
        """Wait until all that was stopped goes on."""
        for timer in self._timers:
            timer.join()
        for proxy in self.proxies:
            proxy.heal()

    def close(self):
        """End agents and proxies."""
        for machine in self.machines:
            for pid in agents(machine):
                _signal(pid, signal.SIGKILL)
        for proxy in self.proxies:
            proxy.close()

    # Processes

    def kill_agent(self, chances):
        """Kill the agent of a machine."""
        for pid in self._agents(chances):
            _signal(pid, signal.SIGKILL)

    def stop_agent(self, chances):
        """Stop the agent of a machine for a while."""
        for pid in self._agents(chances):
            self._stop(chances, pid)

    def _agents(self, chances):
        found = agents(chances.choice(self.machines))
        if not found:
            raise ProcessLookupError("no agent there just now")
        return found

    def stop_worker(self, chances):
        """Stop an application's process for a while."""
        self._stop(chances, chances.choice(self.workers).pid)

    def _stop(self, chances, pid):
        _signal(pid, signal.SIGSTOP)
        self._later(chances, _signal, pid, signal.SIGCONT)

    # Servers

    def pause_server(self, chances):
        """Stop the server for a while."""
        server = chances.choice([self._master, *self._replicas])
        _signal(server.pid, signal.SIGSTOP)
        self._later(chances, _signal, server.pid, signal.SIGCONT)

    def kill_server(self, chances):
        """Kill the server, and start it anew with what it has written, if it has."""
        server = chances.choice([self._master, *self._replicas])
        server.kill()
        server.start()

    def flush(self, chances):
        """Have the server lose everything, or a part of the log."""
        with self._master.client() as client:
            key = chances.choice(("log", "tags", ""))
            client.unlink(f"cenote:{{cenote}}:{key}") if key else client.flushall()

    def fill_up(self, chances):
        """Have the server take no more for a while."""
        self._limit(self._master, 1)
        self._later(chances, self._limit, self._master, 0)

    @staticmethod
    def _limit(server, size):
        with contextlib.suppress(RedisError), server.client() as client:
            client.config_set("maxmemory", size)

    def copy(self, chances):
        """Remember what the server has written."""
        shutil.rmtree(self._copy, ignore_errors=True)
        self._master.copy(self._copy)

    def roll_back(self, chances):
        """Start the server anew with what it had a while ago."""
        if not self._copy.exists():
            raise FileNotFoundError("no copy yet")
        self._master.roll_back(self._copy)

    def fail_over(self, chances):
        """Promote a replica; the machines learn of it one after the other, and the former master last."""
        former = self._master
        successor, *others = chances.sample(self._replicas, len(self._replicas))
        successor.follow(None)
        for replica in others:
            replica.follow(successor, wait=False)
        pause = threading.Event()
        for proxy in chances.sample(self.proxies, len(self.proxies)):
            pause.wait(chances.uniform(0, LONGEST))
            proxy.switch(successor)
        self._master, self._replicas = successor, [former, *others]
        former.follow(successor, wait=False)

    # Links

    def drop(self, chances):
        """End all connections of a machine, and refuse new ones for a while."""
        proxy = chances.choice(self.proxies)
        proxy.drop()
        if chances.random() < 0.5:
            proxy.cut()
            self._later(chances, proxy.heal)

    def cut_in_the_middle(self, chances):
        """End connections of a machine in the middle of a reply or of a request."""
        proxy = chances.choice(self.proxies)
        proxy.cut_at(b"", chances.randrange(200), chances.choice(("requests", "replies")), times=chances.randint(1, 5))

    def hold(self, chances):
        """Cut a machine off for a while, one way or both."""
        proxy = chances.choice(self.proxies)
        proxy.hold(*chances.choice(((), ("requests",), ("replies",))))
        self._later(chances, proxy.flow)

    def delay(self, chances):
        """Make the way of a machine long for a while."""
        proxy = chances.choice(self.proxies)
        proxy.delay = chances.uniform(0.001, 0.1)
        self._later(chances, setattr, proxy, "delay", 0.0)

    def keep_back(self, chances):
        """Have a script arrive late."""
        proxy = chances.choice(self.proxies)
        trap = proxy.keep_back(chances.choice((b"EVAL", b"$3\r\nkey\r\n")))
        self._later(chances, proxy.release, trap)


def _name(fault):
    return fault.__name__.replace("_", " ")


def _signal(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def soak(
    seconds,
    *,
    kind="valkey",
    processes=8,
    machines=4,
    threads=4,
    seed=None,
    faults=True,
    replicated=False,
    unverified=0.0,
    reads=0,
):
    """Run a soak and return its report."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines = [*WRITTEN, *(LINES if faults else ())]
        servers = [Server(kind, keep=not replicated, lines=lines) for _ in range(1 + 2 * replicated)]
        for server in servers:
            stack.enter_context(server)
        for replica in servers[1:]:
            replica.follow(servers[0])
        run = NetworkSoak(folder, servers, threads=threads, machines=machines, faults=faults, unverified=unverified)
        stack.callback(run.close)
        run.go_on(seconds, processes, random.Random(seed), reads=reads)
        return run.report


def main(arguments):
    """Run a soak and print its report."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--reads", type=int, default=0, help="go on until so many were judged")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--machines", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--kind", choices=["valkey", "redis"], default="valkey")
    parser.add_argument("--replicated", action="store_true", help="two replicas, and failovers")
    parser.add_argument("--unverified", type=float, default=0.0, help="seconds that copies are served without a lease")
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
        replicated=options.replicated,
        unverified=options.unverified,
        reads=options.reads,
    )
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations or report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
