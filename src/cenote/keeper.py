"""The keeper: one background thread of a process that frees what was cleared and takes out what has ended.

A clear hands its old table over and returns; freeing a million entries at once would stall every thread. The keeper
works for a millisecond, naps for half of one, and so on, and tables go last: what is freed before them are only
references.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

__all__ = ["Keeper", "Sweepable", "keeper"]

logger = logging.getLogger("cenote")

WORK_SECONDS: Final = 0.001
NAP_SECONDS: Final = 0.0005
SWEEP_SECONDS: Final = 0.25

ASSIST_ABOVE: Final = 500_000
"""Entries waiting to be freed above which whoever stores an entry frees some too: garbage stays bounded."""

ASSIST_ENTRIES: Final = 8
STRIDE: Final = 16


class Sweepable(Protocol):
    """What the keeper sweeps: a cache's core."""

    @property
    def expiring(self) -> int:
        """How many entries wait for their end."""
        ...

    def sweep(self, enough: Callable[[], bool] | None = None) -> int:
        """Take out what has ended; stop when ``enough`` answers True."""
        ...


class Keeper:
    """The background thread and what it has to do."""

    def __init__(self) -> None:
        """Make a keeper; its thread starts with the first thing to keep."""
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._garbage: deque[Any] = deque()
        # The caches came along with a fork, the thread did not: it starts with the next thing to keep.
        self._swept: weakref.WeakSet[Sweepable] = getattr(self, "_swept", weakref.WeakSet())
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.backlog = 0
        """Entries that wait to be freed, roughly."""

    def watch(self, core: Sweepable) -> None:
        """Sweep a cache from now on, as long as it exists, and have the thread running."""
        with self._lock:
            self._swept.add(core)
        self._start()

    def notice(self) -> None:
        """Let the thread look for something to sweep."""
        self._start()
        self._wake.put(None)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(self._wake,), name="cenote-keeper", daemon=True)
                self._thread.start()

    def bury(self, parts: list[Any], entries: int) -> None:
        """Free containers in the background.

        Starting a thread here would wait for it; where none runs the containers are freed by whoever stores next.

        Args:
            parts: The containers, those first that free only references.
            entries: How many entries they hold, for the bound on garbage.
        """
        self.backlog += entries
        self._garbage.append((deque(parts), [entries]))
        self._wake.put(None)

    def assist(self) -> None:
        """Free a few entries in the calling thread, when more is waiting than the keeper may leave."""
        if self._thread is None:
            self._start()
        if self.backlog > ASSIST_ABOVE:
            self._free(ASSIST_ENTRIES)

    def _run(self, wake: SimpleQueue[None]) -> None:
        while wake is self._wake:
            with contextlib.suppress(Empty):
                wake.get(timeout=SWEEP_SECONDS if self._must_sweep() else None)
            while self._garbage:
                self._free(None)
                time.sleep(NAP_SECONDS)
            for core in self._cores():
                try:
                    if core.expiring:
                        self._sweep(core)
                except Exception:
                    # A key's own __hash__ or __eq__ may raise anything; other caches are swept nevertheless.
                    logger.exception("sweeping a cache failed")
                    time.sleep(SWEEP_SECONDS)
                del core  # or this thread would keep it from being collected while it waits

    def _cores(self) -> list[Sweepable]:
        with self._lock:
            return list(self._swept)

    def _must_sweep(self) -> bool:
        return any(core.expiring for core in self._cores())

    def _sweep(self, core: Sweepable) -> None:
        stopped = True
        while stopped:
            end = time.perf_counter() + WORK_SECONDS
            stopped = False

            def enough(end: float = end) -> bool:
                nonlocal stopped
                stopped = time.perf_counter() >= end
                return stopped

            core.sweep(enough)
            if stopped:
                time.sleep(NAP_SECONDS)

    def _free(self, most: int | None) -> None:
        """Free for one work time, or so many items; the thread and its assistants take from the same deque."""
        end = time.perf_counter() + WORK_SECONDS
        done = True
        while done:
            try:
                parts, weight = item = self._garbage.popleft()
            except IndexError:
                return
            done = _take_apart(parts, end, most)
            if done:
                self.backlog -= weight[0]
            else:
                self._garbage.append(item)
            item = parts = weight = None  # so that nothing holds on to what was taken apart
            if most is not None or time.perf_counter() >= end:
                return


def _take_apart(parts: deque[Any], end: float, most: int | None) -> bool:
    """Empty the containers in order until time or number is up; return whether all are empty."""
    taken = 0
    while parts:
        part = parts[0]
        while _shed(part):
            taken += STRIDE
            if time.perf_counter() >= end or (most is not None and taken >= most):
                return False
        parts.popleft()
        # What remains of a table is one block of memory; giving it back is a step of its own.
        del part
        if parts and time.perf_counter() >= end:
            return False
    return True


def _shed(part: Any) -> int:
    """Let a few items of a dict, a list, a set or an eviction policy go; return how many, 0 when it is empty."""
    if part is None:
        return 0
    if not isinstance(part, (dict, list, set)):
        return part.shed(STRIDE)  # type: ignore[no-any-return]  # an eviction policy
    pop = part.popitem if isinstance(part, dict) else part.pop
    count = min(STRIDE, len(part))
    for _ in range(count):
        pop()
    return count


keeper: Final = Keeper()
