"""Acknowledging: how a clear waits until every machine has obeyed it, or can serve nothing older any more."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from cenote.clock import lease_clock as now
from cenote.invalidation.log import Members
from cenote.invalidation.network.lease import SHORTEST_SECONDS, Lease
from cenote.invalidation.network.ledger import Ledger, Receipt
from cenote.invalidation.network.link import UnreachableError
from cenote.meters import Durations, Meters

__all__ = ["Acknowledgements"]

_SHORTEST_NAP: Final = 0.0002
_LONGEST_NAP: Final = 0.004


class Acknowledgements:
    """The acknowledgements that this process has waited for.

    Args:
        ledger: The namespace at the server.
        lease: The terms of leases.
    """

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self._ledger = ledger
        self._lease = lease
        self.after_fork()

    def after_fork(self) -> None:
        """Count from nothing, as in a forked child."""
        self._waits = Durations()
        self._lapsed = 0
        self._lock = threading.RLock()

    def wait(self, receipt: Receipt, tell: Callable[[str], object]) -> Members:
        """Wait until every member has obeyed a record, or can serve nothing older any more.

        Why that is enough: a lease that was asked for after the record was written comes with the record; one that was
        asked for before has ended once ``outwaited`` has passed since the reply. Members that an immature incarnation
        may have forgotten are waited for in that way too.

        Args:
            receipt: What the server said of the record.
            tell: Called with each member that has obeyed it.
        """
        begun = now()
        # Others may have been told of longer leases.
        until = begun + max(self._lease, Lease(max(receipt.lease, SHORTEST_SECONDS))).outwaited
        pending = {peer.name: peer for peer in receipt.members}
        nap = _SHORTEST_NAP
        while (pending or not receipt.mature) and now() < until:
            time.sleep(min(nap, max(0.0, (until - now()) / 1e9)))
            nap = min(1.5 * nap, _LONGEST_NAP)
            try:
                incarnation, peers = self._ledger.members()
            except UnreachableError:
                continue
            if incarnation == receipt.incarnation:
                # Who is no member any more has left, or was outwaited by another clear: its lease has ended.
                late = {peer.name for peer in peers if peer.acknowledged < receipt.sequence}
                for name in pending.keys() - late:
                    tell(name)
                pending = {name: peer for name, peer in pending.items() if name in late}
        for peer in pending.values():
            with contextlib.suppress(UnreachableError):
                self._ledger.expel(receipt.incarnation, peer)
        with self._lock:
            self._waits.note((now() - begun) / 1e9)
            self._lapsed += len(pending)
        names = [peer.name for peer in receipt.members]
        return Members(tuple(sorted(name for name in names if name not in pending)), tuple(sorted(pending)))

    def measure(self, meters: Meters) -> None:
        """Write into the meters of this process how long it waited, and for how many in vain."""
        with self._lock:
            meters.waits, meters.lapsed = Durations.of(self._waits.words()), self._lapsed
