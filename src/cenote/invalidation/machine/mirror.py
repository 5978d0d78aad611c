"""The mirror: the log of a network, as one agent writes it into the shared file of its machine.

Sequences in the file are then those of the network. The file follows one incarnation; another one gets another file, so
that whoever has the old one open leaves everything behind. The lease's deadline is a word of the file: it is withdrawn
before a file is given up, and published only when the file holds all that the lease was granted for.

Why a read may remember a deadline: what is published here never goes back, and a lease that is withdrawn changes the
very word that reads compare. So while that word is the head, every deadline that ever stood here still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from cenote.clock import lease_clock
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine.bell import ring
from cenote.invalidation.machine.file import discard, open_shared
from cenote.invalidation.machine.layout import NO_LEASE, Word
from cenote.invalidation.machine.parts import Parts
from cenote.invalidation.machine.ring import Draft, drafts, key_draft

__all__ = ["Mirror", "follows", "forsake", "incarnation_of", "renewals_of"]

_HALF: Final = 16
_TRIES: Final = 3
_NEVER_SECONDS: Final = 3600.0
"""No lease lasts so long."""


class Mirror:
    """One machine's copy of the log of a network, for the one process that writes it."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it if it is not there.

        Args:
            path: The file, in a directory that ``prepare_directory`` found good.

        Raises:
            ConfigurationError: It cannot be opened or made.
        """
        self._path = path
        self._parts = self._open()
        # A deadline that an earlier writer published says nothing of what this one knows.
        self.withdraw()

    def _open(self) -> Parts:
        for _ in range(_TRIES):
            parts = Parts(open_shared(self._path))
            # A deadline that far away is of a clock that has begun anew since.
            if parts.is_sound() and parts.latest[0] < lease_clock() + _NEVER_SECONDS:
                break
            forsake(parts)
            parts.file.release()
        return parts

    @property
    def incarnation(self) -> str:
        """The incarnation that the file follows; "" while it follows none."""
        return incarnation_of(self._parts)

    @property
    def head(self) -> int:
        """The last sequence in the file."""
        return self._parts.word[0]

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to this file."""
        return self._parts.file.in_place

    @property
    def attached(self) -> int:
        """How many processes have the file open."""
        return len(self._parts.processes.living())

    def withdraw(self) -> None:
        """Say that there is no lease."""
        _withdraw(self._parts)

    def publish(self, deadline: float) -> None:
        """Say until when the lease holds, in seconds of the clock that counts suspension, if the file is in place.

        Under the lock, or a file that somebody is giving up at this moment would get a lease all the same. A deadline
        before one that was published is none: an agent whose leases are shorter begins when those of the last are over.
        """
        parts = self._parts
        with parts.file.lock:
            if parts.file.in_place and deadline >= parts.latest[0]:
                parts.latest[0] = parts.deadline[0] = deadline
                parts.leased[0] = parts.word[0]

    def look_anew(self) -> None:
        """Open the file that the path leads to by now, and bring along what processes that ended had counted.

        Raises:
            ConfigurationError: It cannot be opened or made.
        """
        self.withdraw()
        former, self._parts = self._parts, self._open()
        self.withdraw()
        try:
            _bequeath(former, self._parts)
        finally:
            former.file.release()

    def count_renewals(self, renewals: int, failures: int) -> None:
        """Say how often the lease was renewed, and how often that failed."""
        words = self._parts.file.words
        words[Word.RENEWALS], words[Word.RENEWALS + 1] = renewals, failures

    def count_members(self, members: int) -> None:
        """Say how many machines share the log."""
        self._parts.members = members

    @property
    def renewals(self) -> tuple[int, int]:
        """How often the lease was renewed, and how often that failed, as far as this file says."""
        return renewals_of(self._parts)

    def begin(
        self,
        incarnation: str,
        head: int,
        floors: Mapping[str | None, Sequence[int]],
        everything: Sequence[int],
    ) -> None:
        """Follow an incarnation from a sequence on, in another file than before: what was cached is forgotten.

        Args:
            incarnation: The incarnation, in hexadecimal.
            head: The sequence.
            floors: The sequences of the last hard and soft clears of services, and of their last invalidations by tags
                or a prefix.
            everything: Those of the clears of everything.
        """
        self.withdraw()
        if self.incarnation or self.head or not self.in_place:
            discard(self._parts.file)
            self.look_anew()
        parts = self._parts
        words = parts.file.words
        with parts.file.lock:
            parts.mend()
            numbers = {name: parts.services.number(name) for name in floors}
            if head:
                # Who walks back from the last record finds no other one before it, and forgets everything.
                words[Word.RECORDS] = head - 1 - words[Word.KEY_RECORDS]
                parts.records.write(Draft(RecordKind.PREFIX, 0, soft=False, text=b""), head)
            for name, found in floors.items():
                parts.services.note_scoped(numbers[name], found[2])
            for soft in (False, True):
                parts.services.raise_floor(None, everything[soft], soft=soft)
                for name, found in floors.items():
                    parts.services.raise_floor(numbers[name], found[soft], soft=soft)
            words[Word.HEAD] = head
            # Last: until then nobody takes part, so that no State has obeyed less than what stands here.
            words[Word.NETWORK + 1] = int(incarnation[_HALF:], 16)
            words[Word.NETWORK] = int(incarnation[:_HALF], 16)
        self.ring()

    def apply(self, records: Iterable[Record]) -> None:
        """Write records behind those that are there; their sequences go on where the file ends."""
        parts = self._parts
        with parts.file.lock:
            parts.mend()
            for record in records:
                number = 0 if record.kind is RecordKind.CLEAR_ALL else parts.services.number(record.cache)
                if record.kind is RecordKind.KEY:
                    written = [key_draft(record, number, parts.keys.room)]
                else:
                    written = drafts(record, number, parts.records.room)
                if len(written) != 1 or record.sequence != parts.word[0] + 1:
                    raise ValueError(f"record {record.sequence} does not go behind {parts.word[0]}")
                if record.kind in (RecordKind.TAGS, RecordKind.PREFIX):
                    parts.services.note_scoped(number, record.sequence)
                parts.note(record.kind, written[0], record.sequence)
                # First what reads compare: who has seen the head finds no read behind it.
                if parts.leased[0] != NO_LEASE:
                    parts.leased[0] = record.sequence
                parts.file.words[Word.HEAD] = record.sequence

    def ring(self) -> None:
        """Wake the watchers of all processes, so that what was cleared is freed soon."""
        for place in self._parts.processes.living():
            ring(self._path, place)

    def close(self) -> None:
        """Withdraw the lease and close the file."""
        self.withdraw()
        self._parts.file.release()


def _bequeath(former: Parts, parts: Parts) -> None:
    """Add what ended processes counted in a file that was given up to the one in its place.

    Those that live go on counting there, and leave nothing behind; so nothing is counted twice.
    """
    with former.file.lock:
        former.processes.reclaim()
        ended = {name: former.processes.ended(number) for number, name in enumerate(former.services.names())}
        meters = former.processes.ended_meters()
    parts.processes.inherit({parts.services.number(name): counted for name, counted in ended.items()}, meters)


def forsake(parts: Parts) -> None:
    """Give a file up, lease and all, so that everybody who has it open forgets everything."""
    with parts.file.lock:
        _withdraw(parts)
        discard(parts.file)


def _withdraw(parts: Parts) -> None:
    parts.leased[0] = NO_LEASE
    parts.deadline[0] = 0.0


def follows(parts: Parts, opening: int) -> bool:
    """Whether a file follows the incarnation that begins with these 64 bits."""
    return parts.file.words[Word.NETWORK] == opening


def incarnation_of(parts: Parts) -> str:
    """Return the incarnation of a network that a file follows; "" for none."""
    first, second = parts.file.words[Word.NETWORK : Word.NETWORK + 2]
    return f"{first:016x}{second:016x}" if first else ""


def renewals_of(parts: Parts) -> tuple[int, int]:
    """Return how often a machine's lease was renewed, and how often that failed."""
    renewals, failures = parts.file.words[Word.RENEWALS : Word.RENEWALS + 2]
    return renewals, failures
