"""A whole run: warm up, then traffic and a tick a second, until the time is over or somebody stops it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from cenote import CacheManager
from cenote.audit import AuditEvent
from cenote.demo.counting import CountingCodec
from cenote.demo.meter import Meter, Summary
from cenote.demo.screen import Screen
from cenote.demo.services import (
    Etherforce,
    Lorekeeper,
    Workflow,
    open_etherforce,
    open_lorekeeper,
    open_workflow,
)
from cenote.demo.sources import Library
from cenote.demo.traffic import RANKED, SEED, TRACED, Traffic

__all__ = ["REQUESTS_PER_SECOND", "Demo"]

REQUESTS_PER_SECOND = 160
_AT_ONCE = 8
_STEP = 0.05
_PARTS = 3
_UNREADABLE = (SyntaxError, ValueError, RecursionError, OSError)


class Demo:
    """Three services, their caches and their users.

    Args:
        caches: Where the services get their caches from.
        screen: Shows what happens.
        library: The sources to work on.
        pace: Requests a second.
        worker: The number of this worker among several that share the caches; 0 where there is one only.
        codec: The codec of the caches, where it counts what comes from a store that others share.
    """

    def __init__(
        self,
        caches: CacheManager,
        screen: Screen,
        library: Library,
        *,
        pace: int = REQUESTS_PER_SECOND,
        worker: int = 0,
        codec: CountingCodec | None = None,
    ) -> None:
        self._pace = pace
        self._codec = codec
        self._worker = worker
        self._caches = caches
        self._screen = screen
        self._library = library
        self._etherforce: Etherforce = open_etherforce(caches, library)
        self._lorekeeper: Lorekeeper = open_lorekeeper(caches, library)
        self._workflow: Workflow = open_workflow(caches, self._etherforce, self._lorekeeper)
        self._requests = 0
        self._clears = 0
        self._invalidations = 0

    def run(self, seconds: float | None, stopping: threading.Event) -> Summary:
        """Run until the time is over or ``stopping`` is set.

        Args:
            seconds: How long the traffic runs, once the caches are warm; None: until stopped.
            stopping: Ends the run when set.

        Returns:
            What happened.
        """
        with ThreadPoolExecutor(2, thread_name_prefix="cenote-demo") as workers, self._heard() as heard:
            return asyncio.run(self._run(seconds, stopping, workers, heard))

    @contextmanager
    def _heard(self) -> Iterator[deque[AuditEvent]]:
        """Collect the events of the audit trail, whatever thread they come from."""
        heard: deque[AuditEvent] = deque()
        unsubscribe = self._caches.audit.subscribe(heard.append)
        try:
            yield heard
        finally:
            unsubscribe()

    async def _run(
        self,
        seconds: float | None,
        stopping: threading.Event,
        workers: ThreadPoolExecutor,
        heard: deque[AuditEvent],
    ) -> Summary:
        await self._warm_up(stopping, workers)
        meter = Meter(self._caches, alone=bool(self._worker), codec=self._codec)
        begun = time.monotonic()
        if not stopping.is_set():
            traffic = Traffic(
                self._library.names,
                self._etherforce,
                self._lorekeeper,
                self._workflow,
                workers=workers,
                seed=SEED + self._worker,
            )
            await traffic.learn()
            self._screen.ready(next(iter(self._caches.service("workflow").keys(prefix="ranking", limit=1)), ""))
            # A screen may wait until others are ready too.
            begun = time.monotonic()
            users = asyncio.create_task(self._send(traffic))
            try:
                await self._watch(users, meter, begun, seconds, stopping, heard)
            finally:
                users.cancel()
                await asyncio.wait([users])
            if not users.cancelled() and (error := users.exception()) is not None:
                raise error
        return meter.summary(time.monotonic() - begun, self._requests, self._clears, self._invalidations)

    async def _warm_up(self, stopping: threading.Event, workers: ThreadPoolExecutor) -> None:
        """Read every module, then write a report on each; a module that does not parse is left out."""
        loop = asyncio.get_running_loop()
        names = self._library.names
        # Several workers begin at different places: what one has loaded, others may find.
        first = int(self._worker * len(names) / _PARTS) % len(names)
        modules = names[first:] + names[:first]
        total = 2 * len(modules)
        for done, module in enumerate(modules):
            if stopping.is_set():
                return
            self._screen.warming(done, total)
            try:
                await loop.run_in_executor(workers, self._etherforce.analyse, module)
                await self._lorekeeper.page(module)
            except _UNREADABLE:
                self._library.drop(module)
        readable = set(self._library.names)
        for done, module in enumerate([each for each in modules if each in readable], len(modules)):
            if stopping.is_set():
                return
            self._screen.warming(done, total)
            await self._workflow.report(module)
            for function in self._etherforce.analyse(module).functions[:TRACED]:
                self._etherforce.trace(module, function.name)
        await loop.run_in_executor(workers, self._workflow.ranking, RANKED)
        self._screen.warming(total, total)

    async def _send(self, traffic: Traffic) -> None:
        """Send requests at a steady pace, a few at a time; a slow answer slows the pace."""
        room = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                for _ in range(max(1, int(self._pace * _STEP))):
                    await room.acquire()
                    group.create_task(self._one(traffic, room))
                await asyncio.sleep(_STEP)

    async def _one(self, traffic: Traffic, room: asyncio.Semaphore) -> None:
        try:
            await traffic.request()
            self._requests += 1
        finally:
            room.release()

    async def _watch(
        self,
        users: asyncio.Task[None],
        meter: Meter,
        begun: float,
        seconds: float | None,
        stopping: threading.Event,
        heard: deque[AuditEvent],
    ) -> None:
        second = 1
        # Users who gave up left an error, which must not pass for a quiet minute.
        while not stopping.is_set() and not users.done():
            now = time.monotonic() - begun
            self._tell(heard)
            if now >= second:
                self._screen.tick(meter.tick(second, self._requests))
                second = int(now) + 1
            if seconds is not None and now >= seconds:
                return
            await asyncio.sleep(_STEP)

    def _tell(self, heard: deque[AuditEvent]) -> None:
        while heard:
            event = heard.popleft()
            if event.status == "success":
                self._clears += event.action in {"clear", "clear_all"}
                self._invalidations += event.action == "invalidate"
            self._screen.happened(event)
