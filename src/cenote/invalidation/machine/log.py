"""The log of one machine: a mapped file that all its processes read and write, with no server.

A reader compares the file's head with what its State has obeyed, and obeys what it missed before it serves. A clear
is called done when its records are under the head and the file is the one that every process sees.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cenote.errors import CenoteError, ClearFailedError, ClosedError
from cenote.invalidation.log import LET_GO, InvalidationLog, Listener, News, Record, RecordKind
from cenote.invalidation.machine.census import MachineCensus
from cenote.invalidation.machine.claims import MachineClaims
from cenote.invalidation.machine.file import discard, forget_inherited
from cenote.invalidation.machine.layout import Word
from cenote.invalidation.machine.lock import FileLock
from cenote.invalidation.machine.membership import Membership
from cenote.invalidation.machine.ring import Draft, covered, drafts, key_draft, refill_of
from cenote.invalidation.machine.services import DamagedError
from cenote.invalidation.machine.watcher import Watcher
from cenote.refills import RefillOrder

__all__ = ["SETTLE_SECONDS", "MachineLog"]

logger = logging.getLogger("cenote")

SETTLE_SECONDS: Final = 1.0
"""How long after a file was made no clear is called done: those who have an older one open must notice first.

Each looks four times as often.
"""

_NOWHERE: Final = (-1,)
"""The head of a log that is not attached: no State has obeyed it."""


class MachineLog(InvalidationLog):
    """An invalidation log in a file that the processes of one machine map."""

    level = "machine"
    shares_keys = True

    def __init__(self, path: Path, *, settle: float = SETTLE_SECONDS) -> None:
        """Attach to a file, making it if it is not there.

        Args:
            path: The file, in a directory that ``prepare_directory`` found good.
            settle: Seconds after the file was made before a clear is called done.

        Raises:
            ConfigurationError: It cannot be opened or made.
        """
        self.path = path
        self.settle = settle
        self._closed = False
        self._joining = threading.Lock()
        self._watcher: Watcher | None = None
        self._names: set[str | None] = set()
        self._written = threading.local()
        self.membership: Membership | None = Membership(path)
        self.census = MachineCensus(self._joined)
        self.claims = MachineClaims(self._joined)

    # What reads need

    @property
    def word(self) -> Sequence[int]:
        """What a read compares with its State's ``applied``: item 0 is the head."""
        return _NOWHERE if self.membership is None else self.membership.word

    @property
    def connected(self) -> bool:
        """Whether this process takes part; a State without that serves nothing."""
        return self.membership is not None

    @property
    def incarnation(self) -> str:  # type: ignore[override]  # another one when the file was replaced
        """128 random bits in hexadecimal, made with the file."""
        incarnation: str = self._joined().file.incarnation
        return incarnation

    @property
    def head(self) -> int:
        """The sequence of the last record."""
        return self._joined().word[0]

    def since(self, sequence: int) -> list[Record] | None:
        """Return the records after a sequence, or None when some are no longer kept."""
        joined = self._joined()
        head = joined.word[0]
        if head == sequence:
            return []
        found = self._collect(joined, sequence, head, None)
        # Sequences have no holes, so a record that is missing shows.
        return found if found is not None and len(found) == head - sequence else None

    def news(self, cache: str | None, sequence: int) -> News:
        """Return what concerns a cache since a sequence."""
        joined = self._joined()
        try:
            number = joined.services.number(cache)
            head = joined.word[0]
            there = sequence <= head and self._are_counted(joined, head)
            records = self._collect(joined, sequence, head, number) if there else None
        except DamagedError:
            discard(joined.file)
            return News(joined.word[0], None)
        return News(head, records)

    @staticmethod
    def _are_counted(joined: Membership, head: int) -> bool:
        """Whether the records under a head are counted: some processors show another's stores out of order."""
        return joined.counted >= head

    def floor(self, cache: str | None, *, soft: bool) -> int:
        """Return the sequence of the last whole clear of a cache."""
        self._names.add(cache)
        joined = self._joined()
        try:
            return joined.services.floor(joined.services.number(cache), soft=soft)
        except DamagedError as error:
            discard(joined.file)
            raise ClearFailedError(f"{self.path} is damaged and is made anew: {error}", "process") from error

    def known_caches(self) -> Sequence[str]:
        """Return the names of the services that any process has made a cache of."""
        joined = self.membership
        if joined is None:
            return ()
        try:
            return [name for name in joined.services.names() if name is not None]
        except DamagedError:
            discard(joined.file)
            return ()

    def _collect(self, joined: Membership, sequence: int, head: int, number: int | None) -> list[Record] | None:
        """Return the records of a service (None: of all), in order; None when some are not there."""
        found = joined.records.after(sequence, head)
        if found is None:
            return None
        if number is None or joined.services.last_key(number) > sequence:
            keys = joined.keys.after(sequence, head)
            if keys is None:
                return None
            found += keys
            found.sort(key=_by_sequence)
        return [
            self._record(joined, draft, written)
            for draft, written in found
            if number is None or draft.service == number or draft.kind is RecordKind.CLEAR_ALL
        ]

    @staticmethod
    def _record(joined: Membership, draft: Draft, sequence: int) -> Record:
        cache = None if draft.kind is RecordKind.CLEAR_ALL else joined.services.name(draft.service)
        return Record(
            kind=draft.kind,
            cache=cache,
            covered=covered(draft),
            soft=draft.soft,
            sequence=sequence,
            refill=refill_of(draft),
        )

    # What refills need

    def share(self, cache: str | None) -> float:
        """Return which share falls to this process: that of all processes here that have read the cache is the same.

        Where the file mirrors a network's log, so is that of all machines.
        """
        joined = self._joined()
        own = joined.place.number
        try:
            number = joined.services.number(cache)
        except DamagedError as error:
            raise ClearFailedError(f"{self.path} is damaged: {error}", "process") from error
        others = sum(place != own for place in joined.processes.readers(number))
        return 1.0 / (joined.members * (1 + others))

    def refill_behind(self, cache: str | None, sequence: int) -> RefillOrder | None:
        """Return the refill behind a clear of a cache that was before this process, if it may still go on."""
        joined = self.membership
        if joined is None or 1000 * time.time() >= joined.file.words[Word.PACED_UNTIL]:
            return None
        found = joined.records.after(sequence - 1, joined.word[0])
        if not found or found[0][1] != sequence:
            return None  # it is not kept any more
        order = refill_of(found[0][0])
        if order is None or time.time() >= order.until:
            return None
        try:
            number = joined.services.number(cache)
        except DamagedError:
            return None  # whoever needs the number gives the file up
        later = (draft for draft, _ in found if draft.kind is RecordKind.TAGS and draft.service == number)
        return None if any(covered(draft) == LET_GO for draft in later) else order

    # What changes need

    def exclusive(self, action: str) -> FileLock:
        """Return the lock over all processes; it is taken before a cache's own."""
        lock = self._joined().file.lock
        lock.refuse_reentry(action)
        return lock

    def append(self, record: Record) -> int:
        """Add a record and return its sequence, the last one of several when it does not fit into one."""
        joined = self._joined()
        with joined.file.lock:
            try:
                joined.mend()
                number = 0 if record.kind is RecordKind.CLEAR_ALL else joined.services.number(record.cache)
                if record.kind is RecordKind.KEY:
                    written = [key_draft(record, number, joined.keys.room)]
                else:
                    written = drafts(record, number, joined.records.room)
                sequence = joined.word[0] + len(written)
                self._write(joined, record.kind, written, sequence)
            except DamagedError as error:
                discard(joined.file)
                raise ClearFailedError(f"{self.path} is damaged and is made anew: {error}", "process") from error
            self._written.to = joined
            return sequence

    def _write(self, joined: Membership, kind: RecordKind, written: list[Draft], last: int) -> None:
        """Write records, then the head that makes them count."""
        for sequence, draft in enumerate(written, last - len(written) + 1):
            joined.note(kind, draft, sequence)
        self._raise_head(joined, last)

    @staticmethod
    def _raise_head(joined: Membership, sequence: int) -> None:
        joined.file.words[Word.HEAD] = sequence

    def confirm(self, sequence: int) -> None:
        """Wait until an invalidation of this thread holds everywhere, or raise ClearFailedError."""
        joined = self._joined()
        if sequence:
            # Not the one attached to now: its head may have passed the sequence with other records.
            joined = getattr(self._written, "to", joined)
        self._refuse_replaced(joined)
        left = joined.file.made_at + self.settle - time.monotonic()
        if left > 0:
            time.sleep(min(left, self.settle))
            self._refuse_replaced(joined)
        if joined.word[0] < sequence:
            raise ClearFailedError(f"{self.path} was damaged meanwhile; repeat it", "process")

    def _refuse_replaced(self, joined: Membership) -> None:
        if joined is not self.membership or not joined.file.in_place:
            raise ClearFailedError(
                f"{self.path} was removed or replaced, so other processes may not have learned of this; repeat it",
                "process",
            )

    # The shared store

    def note_stored(self, sequence: int) -> None:
        """Note that the shared store holds all up to a sequence; with all others kept away."""
        words = self._joined().file.words
        words[Word.STORED] = max(words[Word.STORED], sequence)

    def fits(self, stamp: tuple[str, int]) -> bool:
        """Whether a store's stamp is of this very log: if either was set back, the store may hold what was cleared."""
        joined = self._joined()
        incarnation, sequence = stamp
        words = joined.file.words
        return incarnation == joined.file.incarnation and words[Word.STORED] <= sequence <= words[Word.HEAD]

    # Coming and going

    @property
    def in_place(self) -> bool:
        """Whether this process is attached to the file that its path leads to."""
        joined = self.membership
        return joined is not None and joined.file.in_place

    def look_after(self) -> None:
        """Do what the log needs now and then: nothing, on one machine."""

    def attend(self, listener: Listener) -> None:
        """Watch the file for a manager, from a thread of its own."""
        self._watcher = Watcher(self, listener)

    def rejoin(self, forget: Callable[[], None]) -> bool:
        """Attach to the file that the path leads to now, made anew if need be.

        Args:
            forget: Called before and once attached: whatever was cached is forgotten.

        Returns:
            Whether this process takes part now.
        """
        with self._joining:
            if self._closed:
                return False
            if self.in_place:
                return True
            former, self.membership = self.membership, None
            # At once: what was cached compares with the head of a file that others have left, and however long it
            # takes to attach anew, nothing of it may be served.
            forget()
            joined = None
            if former is not None:
                # Before another place is taken: that may have the same number, and so the same bell.
                with contextlib.suppress(CenoteError, OSError):
                    former.leave(counted=False)
            try:
                joined = Membership(self.path)
                # The caches hold their locks while they ask for their floors, and must not wait for this one there.
                for name in list(self._names):
                    joined.services.number(name)
                self.membership = joined
                forget()
            except (CenoteError, OSError) as error:
                # Without a file that others see nothing may be served from memory.
                logger.info("%s cannot be attached to: %s", self.path, error)
                self.membership = None
                if joined is not None:
                    forget()
                    with contextlib.suppress(CenoteError, OSError):
                        joined.leave()
                return False
            return True

    def hold(self) -> None:
        """Keep this process's threads from changing the file while it forks."""
        self._joining.acquire()
        if self.membership is not None:
            self.membership.file.lock.hold_threads()

    def release(self) -> None:
        """Let them go on."""
        if self.membership is not None:
            self.membership.file.lock.release_threads()
        self._joining.release()

    def after_fork(self) -> None:
        """Take no part any more: the child is a process of its own and attaches when it first needs to."""
        self._joining = threading.Lock()
        if self.membership is not None and self.membership.bell is not None:
            self.membership.bell.close()
        self.membership = None
        self._watcher = None
        forget_inherited()

    def close(self) -> None:
        """Give the place back and close the file."""
        if self._watcher is not None:
            self._watcher.stop()
        with self._joining:
            self._closed = True
            former, self.membership = self.membership, None
            if former is not None:
                former.leave()

    def _joined(self) -> Membership:
        joined = self.membership
        if joined is None:
            if self._closed:
                raise ClosedError("the invalidation log is closed")
            raise ClearFailedError(f"{self.path} cannot be used, so other processes cannot learn of this", "process")
        return joined


def _by_sequence(found: tuple[Draft, int]) -> int:
    return found[1]
