"""Bells: how one process wakes another's watcher, which would look by itself only now and then.

Each is a named pipe beside the shared file. A lost ring costs time, never safety.
"""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

__all__ = ["Bell", "ring", "take_down"]


def _path(file: Path, place: int) -> Path:
    return file.with_name(f"{file.name}.bell-{place}")


class Bell:
    """The bell of one process."""

    def __init__(self, file: Path, place: int) -> None:
        """Hang up the bell of a place.

        Raises:
            OSError: It cannot be made.
        """
        self._path = _path(file, place)
        self._path.unlink(missing_ok=True)
        os.mkfifo(self._path, 0o600)
        # For reading and writing, or it would ring for ever once the last writer has left.
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def wait(self, seconds: float) -> bool:
        """Wait for a ring, and return whether there was one."""
        heard, _, _ = select.select([self.descriptor], [], [], seconds)
        if heard:
            with contextlib.suppress(BlockingIOError):
                os.read(self.descriptor, 4096)
        return bool(heard)

    def ring(self) -> None:
        """Wake whoever waits."""
        with contextlib.suppress(OSError):
            os.write(self.descriptor, b"!")

    def take_down(self) -> None:
        """Remove the bell."""
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close it, and leave it hanging: in a forked child it is the parent's."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def take_down(file: Path, place: int) -> None:
    """Remove the bell of a process that ended."""
    _path(file, place).unlink(missing_ok=True)


def ring(file: Path, place: int) -> None:
    """Ring the bell of another process; where there is none, nothing happens."""
    with contextlib.suppress(OSError):
        descriptor = os.open(_path(file, place), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"!")
        finally:
            os.close(descriptor)
