"""The graph of waits: who would wait for whom, so that nobody waits in a circle.

A flight rests on the flights that its loader started and on those that its loader waits for. Before anybody waits, the
graph is walked; the check and the new edge are one step under one lock.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cenote.flight import Flight

__all__ = ["CURRENT", "Wait", "add_child", "begin_wait", "inside", "move_child", "remove_child", "running_loop"]

CURRENT: ContextVar[Flight | None] = ContextVar("cenote_flight", default=None)
"""The flight whose loader the calling thread or task is running."""

_lock = threading.RLock()
_blocked_loops: dict[asyncio.AbstractEventLoop, list[Flight]] = {}
"""Event loops whose thread waits, synchronously, for flights: a load of many keys waits for one after another."""


def _after_fork() -> None:
    """Replace the lock in a forked child, where its holder may not exist, and forget loops that do not run there."""
    global _lock  # noqa: PLW0603  # looked up by name wherever it is taken
    _lock = threading.RLock()
    _blocked_loops.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Wait:
    """An edge of the graph: somebody waits for a flight."""

    __slots__ = ("_flight", "_loop", "_waiter")

    def __init__(self, flight: Flight, waiter: Flight | None, loop: asyncio.AbstractEventLoop | None) -> None:
        self._flight = flight
        self._waiter = waiter
        self._loop = loop

    def over(self) -> None:
        """Take the edge out again."""
        if self._waiter is not None:
            remove_child(self._waiter, self._flight)
        if self._loop is not None:
            with _lock:
                flights = _blocked_loops.get(self._loop, [])
                if self._flight in flights:
                    flights.remove(self._flight)
                if not flights:
                    _blocked_loops.pop(self._loop, None)


def add_child(parent: Flight, child: Flight) -> None:
    """Note that a flight's loader started another flight."""
    with _lock:
        parent.rests_on.append(child)


def remove_child(parent: Flight, child: Flight) -> None:
    """Note that it has ended."""
    with _lock:
        if child in parent.rests_on:
            parent.rests_on.remove(child)


def move_child(child: Flight, parent: Flight | None) -> None:
    """Note that a flight runs inside of another one than the one that started it; None for inside of no flight."""
    with _lock:
        if child.parent is not None and child in child.parent.rests_on:
            child.parent.rests_on.remove(child)
        child.parent = parent
        # One that has ended already rests on nothing and nobody waits for it.
        if parent is not None and child.outcome is None:
            parent.rests_on.append(child)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that the calling thread runs, or None."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def inside(flight: Flight) -> bool:
    """Whether the calling thread or task runs this flight's own loader, at whatever depth."""
    return flight in _ancestors()


def begin_wait(flight: Flight, *, blocking: bool) -> Wait | None:
    """Add the edge for a wait, unless the wait could be for the caller itself.

    Args:
        flight: The flight to wait for.
        blocking: Whether the wait blocks the thread, and with it the event loop that the thread runs.

    Returns:
        The edge, to be ended with ``over``; None when the flight rests, through any number of others, on a flight that
        the caller runs inside of, or on an event loop that the wait would block.
    """
    loop = running_loop() if blocking else None
    ancestors = _ancestors()
    with _lock:
        if (loop is not None or ancestors) and _closes_circle(flight, ancestors, loop):
            return None
        waiter = CURRENT.get()
        if waiter is not None:
            waiter.rests_on.append(flight)
        if loop is not None:
            _blocked_loops.setdefault(loop, []).append(flight)
        return Wait(flight, waiter, loop)


def _ancestors() -> list[Flight]:
    found = []
    current = CURRENT.get()
    while current is not None:
        found.append(current)
        current = current.parent
    return found


def _closes_circle(flight: Flight, ancestors: list[Flight], loop: asyncio.AbstractEventLoop | None) -> bool:
    seen: set[Flight] = set()
    ahead = [flight]
    while ahead:
        step = ahead.pop()
        if step in seen:
            continue
        seen.add(step)
        if step in ancestors or (loop is not None and step.loop is loop):
            return True
        ahead.extend(step.rests_on)
        if step.loop is not None:
            ahead.extend(_blocked_loops.get(step.loop, ()))
    return False
