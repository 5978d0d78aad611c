"""The watcher: one background thread of a process that keeps it abreast of a shared file while nobody reads.

It obeys what others wrote, so that what they cleared is freed; publishes this process's figures; and makes sure that
the path still leads to the file that this process has open.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Final, Protocol

from cenote.errors import CenoteError
from cenote.invalidation.log import Listener
from cenote.invalidation.machine.bell import Bell
from cenote.invalidation.machine.layout import Word
from cenote.invalidation.machine.membership import Membership

__all__ = ["Watcher"]

logger = logging.getLogger("cenote")

_LOOKS: Final = 4
"""How many times within the settling time it looks."""

_RECLAIM_EVERY: Final = 8


class _Watched(Protocol):
    """The log that a watcher looks at."""

    settle: float
    membership: Membership | None

    @property
    def in_place(self) -> bool:
        """Whether this process is attached to the file that its path leads to."""

    @property
    def connected(self) -> bool:
        """Whether it takes part in what the file says."""

    def look_after(self) -> None:
        """See to what the log needs now and then."""


class Watcher:
    """The thread; it ends with the manager it serves, or when it is told to."""

    def __init__(self, log: _Watched, listener: Listener) -> None:
        """Start watching.

        Args:
            log: The log.
            listener: The manager; it is not kept alive.
        """
        self._log = log
        self._listener = weakref.ref(listener)
        self._stop = threading.Event()
        self._turns = 0
        self._thread = threading.Thread(target=self._run, name="cenote-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait until it has."""
        self._stop.set()
        bell = self._bell()
        if bell is not None:
            bell.ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _bell(self) -> Bell | None:
        joined = self._log.membership
        return None if joined is None else joined.bell

    def _run(self) -> None:
        busy = False
        while not self._stop.is_set():
            self._wait(0.001 if busy else self._log.settle / _LOOKS)
            listener = self._listener()
            if listener is None or self._stop.is_set():
                return
            try:
                busy = self._look(listener)
            except CenoteError as error:
                busy = False
                logger.info("the shared file cannot be tended: %s", error)
            except Exception:
                busy = False
                logger.exception("watching the shared file failed")
            del listener  # or this thread would keep the manager from being collected while it waits

    def _wait(self, seconds: float) -> None:
        bell = self._bell()
        if bell is None:
            self._stop.wait(seconds)
            return
        try:
            bell.wait(seconds)
        except (OSError, ValueError):
            self._stop.wait(seconds)  # closed meanwhile

    def _look(self, listener: Listener) -> bool:
        self._log.look_after()
        if not self._log.in_place or not self._log.connected:
            listener.rejoin()
        joined = self._log.membership
        if joined is None:
            return False
        census = joined.file.words[Word.CENSUS]
        head = joined.word[0]
        listener.obey_all()
        joined.place.obeyed(head)
        listener.report()
        joined.place.answered(census)
        self._turns += 1
        if self._turns % _RECLAIM_EVERY == 0:
            self._reclaim(joined)
        return listener.tend()

    @staticmethod
    def _reclaim(joined: Membership) -> None:
        """Give up the places of processes that ended, unless that means waiting: the file may be replaced meanwhile."""
        lock = joined.file.lock
        if lock.take_at_once():
            try:
                joined.processes.reclaim()
            finally:
                lock.give_back()
