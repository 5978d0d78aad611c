"""The parts of one shared file, as whoever has it open sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cenote.invalidation.log import RecordKind
from cenote.invalidation.machine.file import SharedFile
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
from cenote.invalidation.machine.ring import Draft, Ring, refill_of
from cenote.invalidation.machine.services import DamagedError, Services

__all__ = ["Parts", "ScopedWord"]

_LATEST: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ScopedWord:
    """Where a sequence stands after which tags or a prefix made nothing of a cache old.

    Attributes:
        parts: The mirror; this says nothing once a process is attached to another one.
        words: The words of its file.
        at: Which of them.
    """

    parts: Parts
    words: Sequence[int]
    at: int


class Parts:
    """The parts of one open file.

    Attributes:
        file: The file.
        word: The head: its item 0.
        leased: What reads of a leased log compare: its item 0; ``DEADLINE`` items behind it, until when a lease holds.
        deadline: Until when a lease holds, for its holder: its item 0, in seconds of the lease clock.
        latest: The latest that stood there: its item 0.
        records: The ring of clears, tags and prefixes.
        keys: The ring of single keys.
        services: The table of services.
        processes: The table of processes.
    """

    def __init__(self, file: SharedFile) -> None:
        """Look at an open file."""
        words = file.words
        self.file = file
        self.word: Sequence[int] = words[Word.HEAD : Word.HEAD + 1]
        self.leased = words[Word.LEASED : Word.DEADLINE + 1]
        self.deadline = file.bytes[8 * Word.DEADLINE : 8 * (Word.DEADLINE + 1)].cast("d")
        self.latest = file.bytes[8 * Word.LATEST : 8 * (Word.LATEST + 1)].cast("d")
        self.records = Ring(file, at=RECORDS_AT, records=RECORDS, size=RECORDS_EACH, count=Word.RECORDS)
        self.keys = Ring(file, at=KEY_RECORDS_AT, records=KEY_RECORDS, size=KEY_RECORDS_EACH, count=Word.KEY_RECORDS)
        self.services = Services(file)
        self.processes = Processes(file)

    @property
    def members(self) -> int:
        """How many machines share the log, this one included, as far as it is known."""
        return max(1, self.file.words[Word.MEMBERS])

    @members.setter
    def members(self, members: int) -> None:
        self.file.words[Word.MEMBERS] = members

    @property
    def counted(self) -> int:
        """How many records both rings count; it is the head unless a writer was killed."""
        words = self.file.words
        return words[Word.RECORDS] + words[Word.KEY_RECORDS]

    def is_sound(self) -> bool:
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

    def mend(self) -> None:
        """Take back what a writer wrote that was killed before the head moved; under the lock."""
        head = self.word[0]
        if self.records.goes_beyond(head):
            self.services.drop_after(head)
        if self.counted != head:
            for ring in (self.records, self.keys):
                ring.drop_after(head)

    def note(self, kind: RecordKind, draft: Draft, sequence: int) -> None:
        """Write one record and what goes with it, before the head moves to it; under the lock."""
        if kind is RecordKind.KEY:
            self.services.note_key(draft.service, sequence)
            self.keys.write(draft, sequence)
            return
        # The record before the floor: it shows that a clear was cut off, and that a floor may have to be lowered.
        self.records.write(draft, sequence)
        if draft.kind in (RecordKind.CLEAR, RecordKind.CLEAR_ALL):
            everything = draft.kind is RecordKind.CLEAR_ALL
            self.services.raise_floor(None if everything else draft.service, sequence, soft=draft.soft)
            refill = refill_of(draft)
            if refill is not None:
                words = self.file.words
                words[Word.PACED_UNTIL] = max(words[Word.PACED_UNTIL], min(max(0, int(1000 * refill.until)), _LATEST))

    def scoped_word(self, cache: str | None) -> ScopedWord:
        """Return where the last invalidation of a cache by tags or a prefix stands; only a mirror knows."""
        return ScopedWord(self, *self.services.scoped_word(self.services.number(cache)))
