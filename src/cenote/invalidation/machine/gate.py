"""The gate of a shared store: who has it open, and one writer at a time, whatever namespace it writes to.

The store's own lock waits without end for a stopped writer. This one is taken first, and has a deadline.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from cenote.errors import ConfigurationError
from cenote.invalidation.machine.lock import LOCK_SECONDS, FileLock, flock_within

__all__ = ["StoreGate"]

_USERS: Final = "store.users"
_WRITER: Final = "store.writer"


class StoreGate:
    """A lock over all who write to the store of a directory, to be used in a ``with`` statement."""

    def __init__(self, directory: Path) -> None:
        """Come to the gate; ``opening`` goes through.

        Args:
            directory: Where the store is.

        Raises:
            ConfigurationError: The directory cannot be written to.
        """
        self._directory = directory
        self._users = -1
        self._writer = -1
        self._open()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._users = os.open(self._directory / _USERS, flags, 0o600)
            self._writer = os.open(self._directory / _WRITER, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{self._directory} cannot be written to: {error.strerror}") from error
        self._lock = FileLock(self._writer, f"the store in {self._directory}")

    @contextlib.contextmanager
    def opening(self, size: int) -> Iterator[bool]:
        """Go through the gate while nobody else does.

        Args:
            size: The limit that this process was told; it must be that of all who have the store open.

        Yields:
            Whether no other process has the store open.

        Raises:
            ConfigurationError: Others have another limit, or one of them is at the gate and does not go on.
        """
        directory = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not flock_within(directory, LOCK_SECONDS):
                raise ConfigurationError(f"another process is opening the store in {self._directory} and does not end")
            alone = flock_within(self._users, 0.0)
            if alone:
                os.ftruncate(self._users, 0)
                os.pwrite(self._users, str(size).encode(), 0)
            told = os.pread(self._users, 32, 0).decode("ascii", "replace")
            if told != str(size):
                raise ConfigurationError(
                    f"the processes that have the store in {self._directory} open were told max_bytes={told}, this one "
                    f"max_bytes={size}; all must say the same"
                )
            yield alone
            fcntl.flock(self._users, fcntl.LOCK_SH)
        finally:
            os.close(directory)

    def __enter__(self) -> None:
        """Keep other writers away.

        Raises:
            LockBusyError: One of them does not go on.
        """
        self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, traceback)

    def hold(self) -> None:
        """Keep this process's threads from writing while it forks."""
        self._lock.hold_threads()

    def release(self) -> None:
        """Let them write again."""
        self._lock.release_threads()

    def after_fork(self) -> None:
        """Go through once more, in a forked child: what the parent has locked stays the parent's."""
        self.close()
        self._open()
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def close(self) -> None:
        """Close what is open; whatever was locked is free."""
        for descriptor in (self._users, self._writer):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._users = self._writer = -1
