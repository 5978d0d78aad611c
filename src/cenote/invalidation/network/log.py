"""The log of many machines: written at a server, read in the mirror that this machine's agent keeps.

A read compares the mirror's head with what its State has obeyed, and the lease's deadline with the clock; neither asks
the server. A clear is called done when every machine's agent has said that its mirror holds the record, or when no
lease that was granted before it can be relied on any more.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from cenote.clock import lease_clock as now
from cenote.errors import ClearFailedError, ClosedError
from cenote.invalidation.census import Census
from cenote.invalidation.log import Members, News, Record, RecordKind, Seen
from cenote.invalidation.machine import MachineLog, fitted
from cenote.invalidation.machine.membership import Membership
from cenote.invalidation.machine.mirror import follows, forsake, incarnation_of
from cenote.invalidation.machine.parts import ScopedWord
from cenote.invalidation.network.answers import TAKE_OUT, Receipt, Value
from cenote.invalidation.network.attendance import Attendance
from cenote.invalidation.network.claims import NetworkClaims
from cenote.invalidation.network.hearing import Hearing
from cenote.invalidation.network.lease import Lease, Unverified
from cenote.invalidation.network.ledger import Ledger, new_name
from cenote.invalidation.network.link import FullError, UnreachableError
from cenote.invalidation.network.owed import Owed
from cenote.invalidation.network.rollcall import RollCall
from cenote.meters import Meters

__all__ = ["NetworkLog"]

logger = logging.getLogger("cenote")

_NOWHERE: Final = (-1,)
_SHORTEST_NAP: Final = 0.0003
_TRIES: Final = 5
_CATCH_UP_SECONDS: Final = 0.1


class NetworkLog(Hearing, MachineLog):
    """An invalidation log at a server that many machines share."""

    level = "network"
    leased = True

    def __init__(
        self,
        ledger: Ledger,
        url: str,
        path: Path,
        lease: Lease,
        *,
        replicas: int = 0,
        thread: bool = False,
        always: bool = False,
        unverified: Unverified | None = None,
    ) -> None:
        """Attach to this machine's mirror, and see to it that an agent keeps it.

        Args:
            ledger: The namespace at the server.
            url: The server, for the agent.
            path: The mirror's file, in a directory that ``prepare_directory`` found good.
            lease: The terms.
            replicas: How many replicas the server has at least.
            thread: Whether the agent, if this process is to start it, is a thread and not a process.
            always: Whether every read asks the server, and this machine holds no leases.
            unverified: For how long after a lease this machine's processes may serve copies unverified.

        Raises:
            ConfigurationError: The mirror cannot be opened or made.
        """
        self.ledger = ledger
        self.lease = lease
        self._follows: Membership | None = None
        """The membership whose incarnation this process follows."""
        self._written_last = ("", 0)
        """Incarnation and sequence of what this process wrote, before its agent has heard of it."""
        self._least_replicas = self._replicas = replicas
        self._always = always
        self._owed = Owed()
        self._unverified = unverified or Unverified()
        self._roll_call = RollCall(ledger, lease, self._unverified)
        told = {
            "url": url,
            "namespace": ledger.namespace,
            "seconds": lease.seconds,
            "replicas": replicas,
            "leased": not always,
            "unverified": self._unverified.seconds,
        }
        self._attendance = Attendance(path, told, thread=thread)
        super().__init__(path)
        self.claims: NetworkClaims = NetworkClaims(self.claims, ledger, lambda: self.incarnation)
        self.look_after()
        self._await_lease()

    def _await_lease(self) -> None:
        """Wait a moment for the first lease; without one reads ask the server, or load."""
        end = time.monotonic() + max(1.0, self.lease.seconds)
        while time.monotonic() < end:
            joined = self.membership
            if joined is not None and joined.deadline[0] > now():
                return
            if joined is not None and self._always and incarnation_of(joined):
                return
            time.sleep(0.005)
            if not self.in_place:
                self.rejoin(lambda: None)
        logger.warning("no lease from the server yet: until there is one, reads load and nothing is kept in memory")

    # What reads need

    @property
    def word(self) -> Sequence[int]:
        """The head as item 0 while there is a lease, with the lease's deadline behind it."""
        joined = self._followed()
        return _NOWHERE if joined is None else joined.leased

    @property
    def holds_lease(self) -> bool:
        """Whether this machine holds a lease now, so that reads need not ask the server."""
        joined = self._followed()
        return joined is not None and joined.deadline[0] > now()

    @property
    def connected(self) -> bool:
        """Whether this process follows an incarnation of the network's log."""
        return self._followed() is not None

    @property
    def counting(self) -> Census | None:
        """The census: processes of one machine add up their figures whether or not the server can be asked."""
        return None if self.membership is None else self.census

    def _followed(self) -> Membership | None:
        """Return the file that this process is attached to, if it follows what that says."""
        follows, joined = self._follows, self.membership
        return joined if joined is follows else None

    @property
    def incarnation(self) -> str:  # type: ignore[override]  # another one when the server lost the log
        """The incarnation that the mirror follows."""
        return incarnation_of(self._joined())

    def news(self, cache: str | None, sequence: int) -> News:
        """Return what concerns a cache since a sequence."""
        if not self.connected:
            raise ClearFailedError("this process follows no log yet", "none")
        return super().news(cache, sequence)

    def scoped_word(self, cache: str | None, opening: int) -> ScopedWord | None:
        """Return where the last invalidation of a cache by tags or a prefix stands; None in another incarnation."""
        joined = self._joined()  # a file never follows another one
        return joined.scoped_word(cache) if follows(joined, opening) else None

    def verify(self) -> Seen | None:
        """Ask the server, where there is no lease, up to which sequence a State must have obeyed to be current."""
        joined = self._followed()
        if joined is None:
            return None
        incarnation = incarnation_of(joined)
        try:
            there, head, replicas = self.ledger.head()
        except UnreachableError:
            return Seen(joined.leased, None)
        # A server that has, had or should have replicas may have been deposed: only a lease is worth something then.
        if there != incarnation or replicas or self._least_replicas:
            return None
        end = time.monotonic() + _CATCH_UP_SECONDS
        while joined.word[0] < head:
            if time.monotonic() >= end:
                return None
            time.sleep(_SHORTEST_NAP)
        return Seen(joined.leased, head)

    def is_doubtful(self, word: Sequence[int]) -> bool:
        """Whether copies may be served that cannot be verified: for a while after the lease, and of this file alone.

        Why no clear that succeeded is broken: a clear that this member has not acknowledged answers success only once
        that while is over, and whoever gives the file up takes its deadline away.
        """
        joined = self._followed()
        if joined is None or joined.leased is not word or not joined.deadline[0] or not joined.file.in_place:
            return False
        return now() < joined.deadline[0] + self._unverified.held

    # What changes need

    def exclusive(self, action: str) -> AbstractContextManager[Any]:  # type: ignore[override]  # noqa: ARG002
        """Return nothing: who writes at the server keeps nobody away."""
        return nullcontext()

    def append(self, record: Record) -> int:
        """Add a record, or several that cover it, and return the last one's sequence."""
        receipts = [self.record(each) for each in fitted(record)]
        self._written.receipts = receipts
        return receipts[-1].sequence

    def record(self, record: Record, *, value: Value | None = None, most: int = 0) -> Receipt:
        """Write one record that fits.

        Args:
            record: The record.
            value: What becomes of the value of the key that it names, if it names one.
            most: How many identifiers of what it takes to return.

        Raises:
            ClearFailedError: The server is out of reach. This machine forgets everything then, and its level is
                "machine".
        """
        # Somebody waits for this: whether the server is back is worth a question.
        self.ledger.link.wake()
        try:
            return self._write_there(record, value=value, most=most)
        except UnreachableError as error:
            return self._without_server(record, error)

    def write_key(self, record: Record, value: Value) -> Receipt:
        """Write the record of one key, together with what becomes of its value.

        Args:
            record: The record.
            value: What becomes of the value.

        Raises:
            ClearFailedError: The server is out of reach, or its replicas do not follow it: other machines may not learn
                of it.
        """
        # A long key too goes whole: the mirrors alone widen its record, so that its value, and no other, goes or comes.
        try:
            return self._write_there(record, value=value)
        except UnreachableError as error:
            self._owed.add(record)
            raise ClearFailedError(f"{error}; other machines have not learned of this: repeat it", "none") from error

    def _write_there(self, record: Record, *, value: Value | None = None, most: int = 0) -> Receipt:
        """Write a record for the generation that the server is in.

        All replicas must know of it, or a master that was deposed could take it alone.

        Raises:
            UnreachableError: The server is out of reach, or its replicas do not follow it.
        """
        incarnation, generation, since = self._place_of(record.cache)
        name, mark = new_name(), self._owed.mark()
        for left in reversed(range(_TRIES)):
            replicas = self._replicas
            if not left and value is not None and value.payload is not None:
                value = TAKE_OUT  # others write this key all the time
            receipt = self.ledger.record(
                record,
                incarnation=incarnation,
                generation=generation,
                since=since,
                name=name,
                value=value,
                most=most,
                replicas=replicas,
                patience=self.lease.renewed,
            )
            if not receipt.sequence:
                incarnation, generation, since = receipt.incarnation, receipt.generation, receipt.head
                continue
            self._written_last = (receipt.incarnation, receipt.sequence)
            self._replicas = max(self._least_replicas, receipt.replicas)
            if receipt.told >= self._replicas:
                self._owed.done(record, mark)
                return receipt
            if replicas >= self._replicas:
                self.ledger.link.look_anew()
                raise UnreachableError(f"{receipt.told} of {self._replicas} replicas follow the server")
            # It was not known how many there are. Once more: by its name an invalidation is known and answers the same,
            # and a value that is set twice does no harm.
            incarnation, generation, since = self._place_of(record.cache)
        raise ClearFailedError("the server's log changes faster than this can follow; repeat it", "none")

    def await_own(self, receipt: Receipt, seconds: float) -> bool:
        """Wait a while until this machine's mirror holds a record; return whether it does."""
        end = time.monotonic() + seconds
        while True:
            joined = self._followed()
            follows = joined is not None and incarnation_of(joined) == receipt.incarnation
            if joined is not None and follows and joined.word[0] >= receipt.sequence:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(_SHORTEST_NAP)

    def _place_of(self, cache: str | None) -> tuple[str, int, int]:
        """Return the incarnation, a cache's generation, and a sequence that is written already."""
        if not self.connected:
            return "", 0, 0
        try:
            incarnation, last = self.incarnation, self._written_last
            head = max(self.head, last[1] if last[0] == incarnation else 0)
            return incarnation, self.floor(cache, soft=False), head
        except ClearFailedError:
            return "", 0, 0

    def _make_up_for(self, record: Record) -> None:
        self._write_there(record, value=TAKE_OUT if record.kind is RecordKind.KEY else None)

    def _without_server(self, record: Record, error: UnreachableError) -> Receipt:
        """Do what can be done: on a full server begin anew, else forget everything on this machine."""
        if isinstance(error, FullError):
            with contextlib.suppress(UnreachableError):
                if self.ledger.forget(replicas=self._least_replicas, patience=self.lease.renewed):
                    return Receipt("", -1, 0)
        self._owed.add(record)
        joined = self.membership
        if joined is None:
            raise ClearFailedError(f"{error}; repeat it", "none") from error
        try:
            forsake(joined)
        except ClearFailedError as busy:
            raise ClearFailedError(f"{error}; {busy}", "none") from error
        raise ClearFailedError(
            f"{error}. This machine has forgotten all that it had cached; other machines have not learned of it: "
            "repeat it",
            "machine",
        ) from error

    def confirm(self, sequence: int) -> None:  # noqa: ARG002  # it waits for what this thread wrote
        """Wait until what this thread wrote last holds on every machine."""
        receipts: list[Receipt] = getattr(self._written, "receipts", [])
        self.note(self.await_members(receipts[-1]) if receipts else Members())

    def await_members(self, receipt: Receipt) -> Members:
        """Wait until every member has obeyed a record, or can serve nothing older any more.

        Raises:
            ClearFailedError: One that did not say so may still serve older copies, unverified.
        """
        return self._roll_call.wait(receipt, self.tell)

    def measure(self, meters: Meters) -> None:
        """Write into the meters of this process what it did at the server, and waited for."""
        self.ledger.measure(meters)
        self._roll_call.measure(meters)
        meters.owed = self._owed.count

    # Coming and going

    def rejoin(self, forget: Callable[[], None]) -> bool:
        """Attach to the mirror that the path leads to now, and follow it once it follows an incarnation."""
        if self.connected and self.in_place:
            return True
        if not super().rejoin(forget):
            return False
        with self._joining:
            joined = self.membership
            if joined is None or not incarnation_of(joined):
                return False
            if self._follows is not joined:
                self._follows = joined
                # Only now: a State made before compares with no head, and is never current.
                forget()
            return True

    def look_after(self) -> None:
        """See to it that an agent runs, that loads of this process keep their claims, and that it owes nothing."""
        if not self._closed:
            self._attendance.look()
            self.claims.extend()
            self._owed.settle(self._make_up_for)
            self._roll_call.tend()

    def after_fork(self) -> None:
        """Take no part any more, as on one machine, and use no connection of the parent's."""
        super().after_fork()
        self._follows = None
        self._written = threading.local()
        self._attendance.after_fork()
        self.claims.after_fork()
        self._owed.after_fork()
        self._roll_call.after_fork()
        self.ledger.after_fork()

    def close(self) -> None:
        """Give the place back; the agent ends when nobody needs it."""
        super().close()
        self._attendance.close()
        self.ledger.close()

    def _joined(self) -> Any:
        joined = super()._joined()
        if self._closed:
            raise ClosedError("the invalidation log is closed")
        return joined
