"""A membership: what one process holds of a shared file while it is attached."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cenote.errors import ConfigurationError
from cenote.invalidation.machine.bell import Bell
from cenote.invalidation.machine.file import discard, open_shared
from cenote.invalidation.machine.parts import Parts

__all__ = ["Membership"]

_TRIES = 3


class Membership(Parts):
    """An open file, and a place in its table of processes.

    Attributes:
        place: This process's own place there.
        bell: Its bell; None where none could be made.
    """

    def __init__(self, path: Path) -> None:
        """Attach to a file, making it if need be.

        Raises:
            ConfigurationError: It cannot be opened, or all places are taken.
        """
        for _ in range(_TRIES):
            super().__init__(open_shared(path))
            try:
                if self.is_sound():
                    self.place = self.processes.enter()
                    break
            except BaseException:
                self.file.release()
                raise
            discard(self.file)
            self.file.release()
        else:
            raise ConfigurationError(f"{path} is damaged again and again; remove it, and look for what writes to it")
        self.bell: Bell | None = None
        with contextlib.suppress(OSError):
            self.bell = Bell(path, self.place.number)

    def leave(self, *, counted: bool = True) -> None:
        """Give the place back and close the file.

        Args:
            counted: Whether what this process counted stays in the file; not if it goes on in another one.
        """
        try:
            self.processes.leave(self.place, counted=counted)
        finally:
            if self.bell is not None:
                self.bell.take_down()
            self.file.release()
