"""The roll call: who has obeyed an invalidation, and who can serve nothing from before it any more.

Members that may serve copies unverified after their lease are waited for as long as the others, and then the
invalidation fails: nobody waits minutes for it. The process remembers when it first missed such a member, so that a
repeated invalidation succeeds once even that while is over.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from cenote.clock import lease_clock as now
from cenote.errors import ClearFailedError
from cenote.invalidation.log import Members
from cenote.invalidation.network.answers import Peer, Receipt
from cenote.invalidation.network.lease import SHORTEST_SECONDS, Lease, Unverified
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.link import UnreachableError
from cenote.meters import Durations, Meters

__all__ = ["RollCall"]

_SHORTEST_NAP: Final = 0.0003
_LONGEST_NAP: Final = 0.004


class RollCall:
    """Waits for the members of one namespace."""

    def __init__(self, ledger: Ledger, lease: Lease, unverified: Unverified) -> None:
        """Wait for nobody yet.

        Args:
            ledger: The namespace at the server.
            lease: The terms of this machine's leases.
            unverified: For how long after one copies may be served unverified.
        """
        self._ledger = ledger
        self._lease = lease
        self._unverified = unverified
        self._lock = threading.RLock()
        self._waits = Durations()
        self._lapsed = 0
        self._missed: dict[tuple[str, Peer | None], float] = {}
        """Until when members, by incarnation and last renewal, may serve copies unverified; None is those that a new
        incarnation may have forgotten."""

    def wait(self, receipt: Receipt, tell: Callable[[str], object]) -> Members:
        """Wait until every member has obeyed a record, or can serve nothing older any more.

        Why that is enough: a lease that was asked for after the record was written comes with the record; one that was
        asked for before has ended once ``outwaited`` has passed since the reply, and what may be served unverified
        after it once that has passed too. Members that an immature incarnation may have forgotten are waited for in
        that way as well. So are those of a former replica: where there are replicas, one that has been the master
        meanwhile shows in the incarnation, once it is among those that know of the record.

        Args:
            receipt: What the server said of the record.
            tell: Called with each member that has obeyed it.

        Raises:
            ClearFailedError: One that did not say so may still serve older copies, unverified.
        """
        begun = now()
        # Others may have been told of longer leases.
        until = begun + max(self._lease, Lease(max(receipt.lease, SHORTEST_SECONDS))).outwaited
        pending = {peer.name: peer for peer in receipt.members}
        gone = set[str]()
        doubted = receipt.replicas > 0
        nap = _SHORTEST_NAP
        while (pending or doubted or not receipt.mature) and now() < until:
            time.sleep(min(nap, max(0.0, until - now())))
            nap = min(1.2 * nap, _LONGEST_NAP)
            try:
                incarnation, peers = self._ledger.members()
            except UnreachableError:
                continue
            if incarnation == receipt.incarnation:
                doubted = False
                there = {peer.name: peer.acknowledged for peer in peers}
                # Who is no member any more has left, or was outwaited by another clear: its lease has ended.
                gone |= pending.keys() - there.keys()
                late = {name for name, acknowledged in there.items() if acknowledged < receipt.sequence}
                for name in pending.keys() - late - gone:
                    tell(name)
                pending = {name: peer for name, peer in pending.items() if name in late}
        with self._lock:
            self._waits.note(now() - begun)
            self._lapsed += len(pending)
        self._refuse_doubtful(receipt, pending, until)
        for peer in pending.values():
            with contextlib.suppress(UnreachableError):
                self._ledger.expel(receipt.incarnation, peer)
        lapsed = pending.keys() | gone
        names = [peer.name for peer in receipt.members]
        return Members(tuple(sorted(name for name in names if name not in lapsed)), tuple(sorted(lapsed)))

    def _refuse_doubtful(self, receipt: Receipt, pending: dict[str, Peer], until: float) -> None:
        """Raise ClearFailedError if somebody who has lapsed may still serve older copies unverified."""
        found = {peer.name: self._end(receipt, peer, until) for peer in pending.values() if peer.unverified}
        if not receipt.mature and self._unverified.seconds:
            found["members that a new log may have forgotten"] = self._end(receipt, None, until)
        left = {name: end - now() for name, end in found.items() if now() < end}
        if left:
            raise ClearFailedError(
                f"{', '.join(sorted(left))} did not acknowledge, and may serve older copies unverified "
                f"(serve_unverified) for {max(left.values()):.1f} seconds more; repeat it",
                "machine",
            )

    def _end(self, receipt: Receipt, peer: Peer | None, until: float) -> float:
        """Return until when a member may serve copies unverified, counted from when it was first missed."""
        seconds = max(self._unverified.seconds, 0.0 if peer is None else peer.unverified)
        end = until + Unverified(seconds).outwaited
        if not receipt.incarnation:
            return end  # the next one has a name, and is waited for anew
        # What it acknowledged may have grown: it is the same lease as long as the number of the renewal is.
        renewal = None if peer is None else peer._replace(acknowledged=0)
        with self._lock:
            # What ended with a former incarnation is counted anew, with those that the next one may have forgotten.
            self._missed = {each: then for each, then in self._missed.items() if each[0] == receipt.incarnation}
            return self._missed.setdefault((receipt.incarnation, renewal), end)

    def tend(self) -> None:
        """Take out the members that were missed for so long that they can serve nothing older any more."""
        for (incarnation, peer), end in list(self._missed.items()):
            if now() < end:
                continue
            try:
                if peer is not None:
                    self._ledger.expel(incarnation, peer)
            except UnreachableError:
                return
            if peer is not None:
                with self._lock:
                    self._missed.pop((incarnation, peer), None)

    def measure(self, meters: Meters) -> None:
        """Write into the meters of this process how long it waited, and for how many in vain."""
        with self._lock:
            meters.waits, meters.lapsed = Durations.of(self._waits.words()), self._lapsed

    def after_fork(self) -> None:
        """In a forked child: nobody was missed, and nothing was waited for."""
        self._lock = threading.RLock()
        self._waits = Durations()
        self._lapsed = 0
        self._missed = {}
