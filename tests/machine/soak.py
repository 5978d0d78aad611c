"""A soak: processes that share caches do everything at once, some are killed, and the checker judges every read.

``python -m tests.machine.soak --seconds 60 --processes 4 --threads 4 --url memory``

Each thread writes what it saw into a file of its own, three words an event, so that a process that is killed takes at
most its last buffer with it. What was lost that way excuses reads, and never accuses one.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from cenote import CacheManager, ClearFailedError
from cenote.operations import Operations
from cenote.testing import History, check
from cenote.testing.history import Invalidation, Read
from cenote.testing.verdict import Violation

SERVICES = ("plain", "lively")
NAMES = [f"k{number}" for number in range(12)]
# A key of the callers' own and a call of a memoized function for each name, in each service.
PLACES = [(service, kind, name) for service in SERVICES for kind in ("text", "call") for name in NAMES]
PLACE_OF = {place: number for number, place in enumerate(PLACES)}
TAGS = ("even", "odd")
PREFIXES = ("k", "k1", "loaded(", "loaded('k1")

READ, KEY, TAG, PREFIX, CACHE, EVERYTHING, SET = range(7)
"""What happened, in the upper half of an event's last word; the lower half says to what."""

BUFFERED = 3 * 2048
GRACE = 30.0
"""Seconds that a worker may take to end before it is taken for hanging."""

_OPTIONS = {
    "plain": {"max_entries": 100},
    "lively": {"max_entries": 20, "eviction": "lru", "ttl": 0.05, "stale_while_revalidate": 0.05, "fail_safe": 5.0},
}


def tag_of(name):
    """Return the one tag that every entry of a name carries."""
    return TAGS[int(name[1:]) % 2]


def identifier_of(kind, name):
    """Return the text that names an entry."""
    return name if kind == "text" else f"loaded({name!r})"


# Workers


class Notebook:
    """What one thread saw."""

    def __init__(self, path):
        self._file = path.open("wb")
        self._events = array("q")
        self.failures = 0

    def note(self, start, other, what, subject):
        """Write an event down."""
        self._events.extend((start, other, what << 32 | subject))
        if len(self._events) >= BUFFERED:
            self.flush()

    def flush(self):
        """Hand the events to the system, which keeps them when this process is killed."""
        self._file.write(self._events)
        self._file.flush()
        del self._events[:]

    @contextlib.contextmanager
    def invalidation(self, what, subject):
        """Write an invalidation down if it succeeds."""
        start = time.monotonic_ns()
        try:
            yield
        except ClearFailedError:
            self.failures += 1
        else:
            self.note(start, time.monotonic_ns(), what, subject)


class Worker:
    """One process: its caches, and the threads that use them. A value is its birth, and whether it was set."""

    def __init__(self, url, folder, seed, reading=0.99):
        self.reading = reading
        self.caches = CacheManager(url)
        self.services = {name: self.caches.service(name, **options) for name, options in _OPTIONS.items()}
        self.functions = {name: self._memoize(cache) for name, cache in self.services.items()}
        self.folder = folder
        self.seed = seed
        self.stop = threading.Event()
        self.failed = []

    @staticmethod
    def _memoize(cache):
        @cache.memoize(name="loaded", tags=lambda name: [tag_of(name)])
        def loaded(name):
            return time.monotonic_ns() << 1

        return loaded

    def run(self, threads):
        """Run until standard input ends; the exit code says whether a thread failed."""
        running = [threading.Thread(target=self._work, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        sys.stdin.read()
        self.stop.set()
        for thread in running:
            thread.join()
        return 1 if self.failed else 0

    def _work(self, number):
        notebook = Notebook(self.folder / f"{self.seed}-{number}")
        chances = random.Random(f"{self.seed}-{number}")
        try:
            while not self.stop.is_set():
                self._step(notebook, chances)
            notebook.flush()
        except BaseException as error:
            self.failed.append(error)
            self.stop.set()
            raise

    def _step(self, notebook, chances):
        number = int(chances.random() * len(PLACES))
        service, kind, name = PLACES[number]
        chance = chances.random()
        if chance < self.reading:
            chance /= self.reading
            start = time.monotonic_ns()
            value = self._read(service, kind, name, chance)
            if value is not None:
                notebook.note(start, value, READ, number)
            return
        chance = (chance - self.reading) / (1 - self.reading)
        if chance < 0.4:
            cache, key = self.services[service], identifier_of(kind, name)
            start = time.monotonic_ns()
            with contextlib.suppress(ClearFailedError):
                cache.set(key, start << 1 | 1, tags=[tag_of(name)])
                notebook.note(start, time.monotonic_ns(), SET, number)
        elif chance < 0.7:
            token = self.services[service].fill(identifier_of(kind, name))
            token.set(time.monotonic_ns() << 1, tags=[tag_of(name)])
        else:
            self._invalidate(notebook, chances, number)

    def _read(self, service, kind, name, chance):
        if kind == "call" and chance < 0.6:
            return self.functions[service](name)
        cache, key = self.services[service], identifier_of(kind, name)
        if kind == "call" or chance < 0.4:
            return cache.get(key)
        return cache.get_or_load(key, lambda: time.monotonic_ns() << 1, tags=[tag_of(name)])

    def _invalidate(self, notebook, chances, number):
        service, kind, name = PLACES[number]
        cache = self.services[service]
        index = SERVICES.index(service)
        chance = chances.random()
        if chance < 0.4:
            with notebook.invalidation(KEY, number):
                cache.delete(identifier_of(kind, name))
        elif chance < 0.5:
            with notebook.invalidation(KEY, PLACE_OF[service, "call", name]):
                self.functions[service].invalidate(name)
        elif chance < 0.7:
            with notebook.invalidation(TAG, index << 8 | TAGS.index(tag_of(name))):
                cache.invalidate_tags(tag_of(name))
        elif chance < 0.8:
            prefix = chances.randrange(len(PREFIXES))
            with notebook.invalidation(PREFIX, index << 8 | prefix):
                cache.clear(prefix=PREFIXES[prefix])
        elif chance < 0.9:
            with notebook.invalidation(CACHE, index):
                cache.clear()
        elif chance < 0.95:
            with notebook.invalidation(EVERYTHING, 0):
                self.caches.clear_all()
        else:
            with contextlib.suppress(ClearFailedError):
                cache.clear(mode="soft")


def _get_without_the_head(self, key, default=None):
    """What a cache would do that does not ask whether others invalidated anything."""
    entry = self._root.states[self._index].tables[0].get(key)
    return default if entry is None else entry.value


# The parent


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

    killing = 1.0
    """How likely a worker is killed each time."""

    def __init__(self, folder, scheme, threads, broken):
        self._shared = folder / "shared"
        self._shared.mkdir(mode=0o700)
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._scheme, self._threads, self._broken = scheme, threads, broken
        self._started = 0
        self.workers = []
        self.report = Report()

    def start(self):
        """Start a worker."""
        self._started += 1
        command = [sys.executable, "-m", "tests.machine.soak", "--worker", self.url(self._started)]
        command += [str(self._notes), str(self._started), str(self._threads), str(self.reading)]
        command += ["broken"] if self._broken else []
        root = Path(__file__).parents[2]
        return subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    def url(self, number):  # on one machine all share one
        """Return what a worker connects to."""
        return f"{self._scheme}://{self._shared}"

    def disturb(self, chances):
        """Do something else to what they share; called before a worker is killed."""

    def calm(self):
        """Undo what is still disturbed; called before workers are to end."""

    def run(self, seconds, processes, chances):
        """Run workers, and kill one now and then."""
        workers = self.workers = [self.start() for _ in range(processes)]
        begin = time.monotonic()
        try:
            while (left := begin + seconds - time.monotonic()) > 0:
                time.sleep(min(left, chances.uniform(0.5, 2.5)))
                if left > 2:
                    self.disturb(chances)
                if left > 2 and chances.random() < self.killing:
                    victim = workers.pop(chances.randrange(len(workers)))
                    victim.kill()
                    self._end(victim, killed=True)
                    self.report.kills += 1
                    workers.append(self.start())
        finally:
            self.report.seconds = time.monotonic() - begin
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

    def judge(self):
        """Have the checker judge the reads, those of one entry after those of another."""
        reads = defaultdict(lambda: array("q"))
        sets = defaultdict(list)
        invalidations = defaultdict(list)
        for path in self._notes.iterdir():
            events = array("q")
            whole = path.stat().st_size // 24 * 3
            with path.open("rb") as file:
                events.fromfile(file, whole)
            for at in range(0, whole, 3):
                start, other, last = events[at : at + 3]
                what, subject = last >> 32, last & 0xFFFFFFFF
                if what == READ:
                    reads[subject].extend((start, other))
                elif what == SET:
                    sets[subject].append((start, other))
                else:
                    invalidations[what, subject].append((start, other))
        self.report.reads = sum(len(found) for found in reads.values()) // 2
        self.report.invalidations = sum(map(len, [*sets.values(), *invalidations.values()]))
        for number, found in reads.items():
            shown = [(start, end + self.set_seen_after) for start, end in sets[number]]
            history = _history(number, found, sets[number], shown, invalidations)
            self.report.violations += check(history)


def _history(number, reads, sets, shown, invalidations):
    """Make the history of one entry."""
    service, kind, name = PLACES[number]
    index = SERVICES.index(service)
    history = History(int)
    history._reads = [
        Read(reads[at], reads[at], reads[at + 1] >> 1, bool(reads[at + 1] & 1), service, number, (tag_of(name),))
        for at in range(0, len(reads), 2)
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


def soak(seconds, *, processes=4, threads=4, scheme="memory", seed=None, broken=False):
    """Run a soak and return its report."""
    with tempfile.TemporaryDirectory() as folder:
        run = Soak(Path(folder), scheme, threads, broken)
        run.run(seconds, processes, random.Random(seed))
        run.judge()
        return run.report


def main(arguments):
    """Run a soak and print its report, or be one of its workers."""
    if arguments[:1] == ["--worker"]:
        faulthandler.enable()
        _, url, notes, seed, threads, reading, *broken = arguments
        if broken:
            Operations.get = _get_without_the_head
        return Worker(url, Path(notes), seed, float(reading)).run(int(threads))
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--url", choices=["memory", "lmdb"], default="memory")
    options = parser.parse_args(arguments)
    report = soak(options.seconds, processes=options.processes, threads=options.threads, scheme=options.url)
    sys.stdout.write(f"{report}\n")
    return 1 if report.violations or report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
