"""A membership: what one process holds of a shared file while it is attached."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from cenote.errors import ConfigurationError
from cenote.invalidation.machine.bell import Bell
from cenote.invalidation.machine.file import SharedFile, discard, open_shared
from cenote.invalidation.machine.layout import (
    KEY_RECORDS,
    KEY_RECORDS_AT,
    KEY_RECORDS_EACH,
    RECORDS,
    RECORDS_AT,
    RECORDS_EACH,
    Word,
)
from cenote.invalidation.machine.processes import Processes
from cenote.invalidation.machine.ring import Ring
from cenote.invalidation.machine.services import DamagedError, Services

__all__ = ["Membership"]

_TRIES = 3


class Membership:
    """The parts of one open file.

    Attributes:
        file: The file.
        word: The head, for reads: its item 0.
        records: The ring of clears, tags and prefixes.
        keys: The ring of single keys.
        services: The table of services.
        processes: The table of processes.
        place: This process's own place there.
        bell: Its bell; None where none could be made.
    """

    def __init__(self, path: Path) -> None:
        """Attach to a file, making it if need be.

        Raises:
            ConfigurationError: It cannot be opened, or all places are taken.
        """
        for _ in range(_TRIES):
            self._look_at(open_shared(path))
            try:
                if self._is_sound():
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

    def _look_at(self, file: SharedFile) -> None:
        words = file.words
        self.file = file
        self.word: Sequence[int] = words[Word.HEAD : Word.HEAD + 1]
        self.records = Ring(file, at=RECORDS_AT, records=RECORDS, size=RECORDS_EACH, count=Word.RECORDS)
        self.keys = Ring(file, at=KEY_RECORDS_AT, records=KEY_RECORDS, size=KEY_RECORDS_EACH, count=Word.KEY_RECORDS)
        self.services = Services(file)
        self.processes = Processes(file)

    def _is_sound(self) -> bool:
        """Whether head, last records, names and floors fit together, looked at while nobody is amid a change."""
        with self.file.lock:
            head = self.word[0]
            last = [ring.last_sequence() for ring in (self.records, self.keys)]
            try:
                self.services.verify()
            except DamagedError:
                return False
            if None in last:
                return False
            # A writer that was killed may have counted records that the head never came to.
            return head == 0 or max(sequence for sequence in last if sequence is not None) >= head

    def leave(self) -> None:
        """Give the place back and close the file."""
        try:
            self.processes.leave(self.place)
        finally:
            if self.bell is not None:
                self.bell.take_down()
            self.file.release()
