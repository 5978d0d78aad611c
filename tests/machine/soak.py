"""A soak: processes that share caches do everything at once, some are killed, and the checker judges every read.

``python -m tests.machine.soak --seconds 60 --processes 4 --threads 4 --url memory``
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.machine.processes import ends
from tests.machine.soak_worker import (
    CACHE,
    EVERYTHING,
    KEY,
    PLACES,
    PREFIX,
    PREFIXES,
    READ,
    SERVICES,
    SET,
    TAG,
    TAGS,
    identifier_of,
    tag_of,
)

from cenote.testing import History, check
from cenote.testing.history import Invalidation, Read
from cenote.testing.verdict import Violation

ROUND = 120.0
"""Seconds after which what was read is judged, and forgotten."""

GRACE = 30.0
"""Seconds that a worker may take to end before it is taken for hanging."""


@dataclass
class Report:
    """What a soak found.

    Attributes:
        reads: How many reads were judged.
        invalidations: How many invalidations and sets succeeded.
        kills: How many processes were killed and replaced.
        faults: What else happened, and how often.
        seconds: How long it ran.
        failed: The exit codes of workers that failed, and what they printed.
        violations: The reads that broke the promise.
    """

    reads: int = 0
    invalidations: int = 0
    kills: int = 0
    faults: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def __str__(self):
        lines = [
            f"reads judged   {self.reads:,} ({self.reads / max(self.seconds, 0.001):,.0f} a second)",
            f"invalidations  {self.invalidations:,}",
            f"kills          {self.kills}",
            *(f"  {fault:<22} {number}" for fault, number in sorted(self.faults.items())),
            f"failed         {len(self.failed)}",
            f"violations     {len(self.violations)}",
        ]
        lines += [f"  {violation}" for violation in self.violations[:5]] + self.failed[:3]
        return "\n".join(lines)


class Soak:
    """Workers in a directory of their own."""

    set_seen_after = 0
    """Nanoseconds after which a set that returned is seen by everybody."""

    reading = 0.99
    """The share of reads in what workers do."""

    burst = 1
    """How often a worker reads what it reads, before it does something else."""

    killing = 1.0
    """How likely a worker is killed each time, after the first one."""

    def __init__(self, folder, scheme, threads, broken):
        self._shared = folder / "shared"
        self._shared.mkdir(mode=0o700)
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._scheme, self._threads, self._broken = scheme, threads, broken
        self._started = 0
        self._sets = defaultdict(list)
        self._invalidations = defaultdict(list)
        self.workers = []
        self.report = Report()

    def start(self):
        """Start a worker."""
        self._started += 1
        command = [sys.executable, "-m", "tests.machine.soak_worker", self.url(self._started)]
        command += [str(self._notes), str(self._started), str(self._threads), str(self.reading), str(self.burst)]
        command += ["broken"] if self._broken else []
        root = Path(__file__).parents[2]
        return subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    def url(self, number):  # on one machine all share one
        """Return what a worker connects to."""
        return f"{self._scheme}://{self._shared}"

    def disturb(self, chances):
        """Do something else to what they share; called before a worker is killed."""

    def lacks(self):
        """Return whether something is still to happen; a run may take twice as long for it."""
        return False

    def calm(self):
        """Undo what is still disturbed; called before workers are to end."""

    def run(self, seconds, processes, chances):
        """Run workers, and kill one now and then."""
        workers = self.workers = [self.start() for _ in range(processes)]
        begin = time.monotonic()
        try:
            while (left := begin + seconds * (1 + self.lacks()) - time.monotonic()) > 0:
                pids = [worker.pid for worker in workers]
                if ends(*pids, patience=min(left, chances.uniform(0.5, 2.5))):
                    return  # by itself, so it failed
                if left > 2:
                    self.disturb(chances)
                if left > 2 and (not self.report.kills or chances.random() < self.killing):
                    victim = workers.pop(chances.randrange(len(workers)))
                    victim.kill()
                    self._end(victim, killed=True)
                    self.report.kills += 1
                    workers.append(self.start())
        finally:
            self.report.seconds += time.monotonic() - begin
            self.calm()
            for worker in workers:
                worker.stdin.close()
            for worker in workers:
                self._end(worker)

    def _end(self, worker, *, killed=False):
        try:
            worker.wait(GRACE)
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGABRT)
            worker.wait()
        if not worker.stdin.closed:
            worker.stdin.close()
        with worker.stderr:
            printed = worker.stderr.read().decode()
        if worker.returncode and not (killed and worker.returncode == -signal.SIGKILL):
            self.report.failed.append(f"a worker ended with {worker.returncode}:\n{printed}")

    def go_on(self, seconds, processes, chances, *, reads=0):
        """Run, and judge what was read, in rounds, until both the time is over and so many reads were judged.

        A round's reads need not be kept, so there is room for as many as anybody likes.
        """
        report = self.report
        while not (report.violations or report.failed):
            left, before = seconds - report.seconds, report.reads
            self.run(min(left if left > 0 else seconds, ROUND), processes, chances)
            self.judge()
            if seconds <= report.seconds and (reads <= report.reads or before == report.reads):
                return

    def judge(self):
        """Have the checker judge the reads since it did last, those of one entry after those of another."""
        reads = defaultdict(lambda: array("q"))
        for path in self._notes.iterdir():
            events = array("q")
            whole = path.stat().st_size // 24 * 3
            with path.open("rb") as file:
                events.fromfile(file, whole)
            path.unlink()
            for start, other, last in zip(events[::3], events[1::3], events[2::3], strict=True):
                what, subject = last >> 32, last & 0xFFFFFFFF
                if what == READ:
                    reads[subject].extend((start, other))
                elif what == SET:
                    self._sets[subject].append((start, other))
                else:
                    self._invalidations[what, subject].append((start, other))
        self.report.reads += sum(len(found) for found in reads.values()) // 2
        self.report.invalidations = sum(map(len, [*self._sets.values(), *self._invalidations.values()]))
        for number, found in reads.items():
            sets = self._sets[number]
            shown = [(start, end + self.set_seen_after) for start, end in sets]
            history = _history(number, found, sets, shown, self._invalidations)
            self.report.violations += check(history)


def _history(number, reads, sets, shown, invalidations):
    """Make the history of one entry."""
    service, kind, name = PLACES[number]
    index = SERVICES.index(service)
    history, tags = History(int), (tag_of(name),)
    history._reads = [
        Read(start, start, value >> 1, bool(value & 1), service, number, tags)
        for start, value in zip(reads[::2], reads[1::2], strict=True)
    ]
    history._sets = sets
    found = history._invalidations
    found += [Invalidation(start, end, service, "key", (number,), "set", counts=True) for start, end in shown]
    scopes = [(EVERYTHING, 0, "everything", ()), (CACHE, index, "cache", ()), (KEY, number, "key", (number,))]
    scopes.append((TAG, index << 8 | TAGS.index(tag_of(name)), "tag", (tag_of(name),)))
    for which, prefix in enumerate(PREFIXES):
        if identifier_of(kind, name).startswith(prefix):
            scopes.append((PREFIX, index << 8 | which, "key", (number,)))
    for what, subject, scope, names in scopes:
        found += [
            Invalidation(start, end, service, scope, names, scope, counts=True)
            for start, end in invalidations.get((what, subject), ())
        ]
    return history


def soak(seconds, *, processes=4, threads=4, scheme="memory", seed=None, broken=False, reads=0):
    """Run a soak and return its report."""
    with tempfile.TemporaryDirectory() as folder:
        run = Soak(Path(folder), scheme, threads, broken)
        run.go_on(seconds, processes, random.Random(seed), reads=reads)
        return run.report


def main(arguments):
    """Run a soak and print its report."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--reads", type=int, default=0, help="go on until so many were judged")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--url", choices=["memory", "lmdb"], default="memory")
    options = parser.parse_args(arguments)
    report = soak(
        options.seconds,
        processes=options.processes,
        threads=options.threads,
        scheme=options.url,
        reads=options.reads,
    )
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations or report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
