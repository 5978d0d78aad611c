"""The lock of a shared file: one writer on the machine, and nobody waits for ever."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from cenote import locks
from cenote.errors import ClearFailedError, ReentrantError

__all__ = ["LOCK_SECONDS", "FileLock", "LockBusyError", "flock_within"]

LOCK_SECONDS: Final = 2.0
"""How long to wait for a lock before its holder is taken for stopped."""

_NOW: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
_SHORTEST_NAP: Final = 0.00002
_LONGEST_NAP: Final = 0.002


class LockBusyError(ClearFailedError):
    """The lock of a shared file was not to be had in time: its holder is stopped, or far too busy."""

    def __init__(self, what: str, seconds: float = LOCK_SECONDS) -> None:
        super().__init__(
            f"the lock of {what} was not to be had within {seconds:g} seconds: another process holds it and does not "
            "go on; look for a stopped one"
        )
        self.what = what
        self.seconds = seconds

    def __reduce__(self) -> tuple[type, tuple[str, float], dict[str, str]]:
        return type(self), (self.what, self.seconds), {"level": self.level}


def flock_within(descriptor: int, seconds: float) -> bool:
    """Take the ``flock`` of a descriptor.

    Args:
        descriptor: The file or directory.
        seconds: How long to try.

    Returns:
        Whether it was taken.
    """
    end = None
    nap = _SHORTEST_NAP
    while True:
        try:
            fcntl.flock(descriptor, _NOW)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN):
                raise
        else:
            return True
        now = time.monotonic()
        if end is None:
            end = now + seconds
        elif now >= end:
            return False
        time.sleep(nap)
        nap = min(2 * nap, _LONGEST_NAP)


class FileLock:
    """A lock over all threads of all processes that share a file, to be used in a ``with`` statement.

    It is taken before any cache's own lock, never inside one: who waits for another process holds up nobody else's
    reads. The ``flock`` ends with its process; it lies on a descriptor that a forked child closes, so a child cannot
    keep its parent's.
    """

    def __init__(self, descriptor: int, what: str, seconds: float = LOCK_SECONDS) -> None:
        """Make the lock of an open file.

        Args:
            descriptor: The file.
            what: How messages name it.
            seconds: How long to wait before LockBusyError.
        """
        self._descriptor = descriptor
        self._what = what
        self._seconds = seconds
        self._threads = locks.make_lock()
        self._depth = 0
        self._retired = False

    @property
    def owned(self) -> bool:
        """Whether the calling thread holds it."""
        return locks.owned(self._threads)

    def refuse_reentry(self, action: str) -> None:
        """Raise ReentrantError when the calling thread holds it: a signal handler interrupted a change."""
        if self.owned:
            raise ReentrantError(action)

    def __enter__(self) -> Self:
        """Take it; a thread that holds it takes it once more.

        Raises:
            LockBusyError: It was not to be had in time.
        """
        if not self._take(self._seconds):
            raise LockBusyError(self._what, self._seconds)
        return self

    def take_at_once(self) -> bool:
        """Take it if nobody holds it; return whether it was taken, to be given back by ``give_back``."""
        return self._take(0.0)

    def _take(self, seconds: float) -> bool:
        # The common case, where nobody holds it, reads no clock.
        left = seconds
        if not self._threads.acquire(blocking=False):
            begin = time.monotonic()
            if not self._threads.acquire(timeout=seconds):
                return False
            left = max(0.0, begin + seconds - time.monotonic())
        if self._retired:
            self._threads.release()
            raise ClearFailedError(f"{self._what} was given up for another file meanwhile; repeat it", "none")
        before = self._depth
        try:
            taken = before > 0 or flock_within(self._descriptor, left)
            self._depth += taken
        except BaseException:
            self._depth = before
            if not before:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # taken, perhaps, when an interrupt came
            self._threads.release()
            raise
        if not taken:
            self._threads.release()
        return taken

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Give it back, once for each time it was taken."""
        self._depth -= 1
        try:
            if not self._depth:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def retire(self, close: Callable[[], None]) -> None:
        """Close the descriptor while no thread uses it, and have those that wait for the lock learn of it.

        Without this one of them would lock by a number that is another file's by then.
        """
        held = self._threads.acquire(timeout=self._seconds)
        self._retired = True
        try:
            close()
        finally:
            if held:
                self._threads.release()

    def hold_threads(self) -> None:
        """Keep this process's threads from taking it while the process forks."""
        self._threads.acquire()

    def release_threads(self) -> None:
        """Let them take it again."""
        self._threads.release()
