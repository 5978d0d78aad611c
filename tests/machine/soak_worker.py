"""One process of a soak: its threads do everything with shared caches, and write down what they see.

``python -m tests.machine.soak_worker URL NOTES NAME THREADS READING BURST [broken]``

Beside its threads there is an event loop, whose tasks read. Each thread writes into a file of its own, three words an
event, so that a process that is killed takes at most its last buffer with it. What was lost that way excuses reads, and
never accuses one.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import random
import sys
import threading
import time
from array import array
from pathlib import Path

from cenote import CacheManager, ClearFailedError
from cenote.entry import GONE
from cenote.following import Follower
from cenote.operations import Operations

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

TASKS = 12
"""How many tasks read at once."""

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

    def __init__(self, url, folder, seed, reading=0.99, burst=1):
        self.reading, self.burst = reading, burst
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
        running.append(threading.Thread(target=self._read_in_loop))
        for thread in running:
            thread.start()
        sys.stdin.read()
        self.stop.set()
        for thread in running:
            thread.join()
        return 1 if self.failed else 0

    def _work(self, number):
        with self._at_work(number) as (notebook, chances):
            while not self.stop.is_set():
                self._step(notebook, chances)

    def _read_in_loop(self):
        with self._at_work("loop") as (notebook, chances), asyncio.Runner() as runner:
            while not self.stop.is_set():
                runner.run(self._read_together(notebook, chances))

    @contextlib.contextmanager
    def _at_work(self, name):
        notebook = Notebook(self.folder / f"{self.seed}-{name}")
        try:
            yield notebook, random.Random(f"{self.seed}-{name}")
            notebook.flush()
        except BaseException as error:
            self.failed.append(error)
            self.stop.set()
            raise

    async def _read_together(self, notebook, chances):
        """Have tasks read several entries side by side."""

        async def read(number):
            service, kind, name = PLACES[number]
            cache, key = self.services[service], identifier_of(kind, name)
            start = time.monotonic_ns()
            if kind == "call" or chances.random() < 0.5:
                value = await cache.aget(key)
            else:
                value = await cache.aget_or_load(key, lambda: time.monotonic_ns() << 1, tags=[tag_of(name)])
            if value is not None:
                notebook.note(start, value, READ, number)

        await asyncio.gather(*(read(number) for number in chances.choices(range(len(PLACES)), k=TASKS)))

    def _step(self, notebook, chances):
        number = int(chances.random() * len(PLACES))
        service, kind, name = PLACES[number]
        chance = chances.random()
        if chance < self.reading:
            chance /= self.reading
            for _ in range(self.burst):
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
    value = GONE if entry is None else entry.value
    return default if value is GONE else value


def main(arguments):
    """Be a worker until standard input ends."""
    faulthandler.enable()
    url, notes, seed, threads, reading, burst, *broken = arguments
    if broken:
        Operations.get = _get_without_the_head
        Follower.current = lambda self: self.state
    return Worker(url, Path(notes), seed, float(reading), int(burst)).run(int(threads))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
