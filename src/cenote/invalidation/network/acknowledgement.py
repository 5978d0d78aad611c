"""Acknowledgement: how a clear waits until every machine has said that it obeys the record."""

from __future__ import annotations

import contextlib
import time
from typing import Final

from cenote.clock import lease_clock as now
from cenote.invalidation.log import Members
from cenote.invalidation.network.answers import Receipt
from cenote.invalidation.network.lease import SHORTEST_SECONDS, Lease
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.link import UnreachableError

__all__ = ["await_members"]

_SHORTEST_NAP: Final = 0.0003
_LONGEST_NAP: Final = 0.004


def await_members(ledger: Ledger, lease: Lease, receipt: Receipt) -> Members:
    """Wait until every member has obeyed a record, or can serve nothing older any more.

    Why that is enough: a lease that was asked for after the record was written comes with the record; one that was
    asked for before has ended once ``outwaited`` has passed since the reply. Members that an immature incarnation
    may have forgotten are waited for in that way too. So are those of a former replica: where there are replicas, one
    that has been the master meanwhile shows in the incarnation, once it is among those that know of the record.
    """
    # Others may have been told of longer leases.
    until = now() + max(lease, Lease(max(receipt.lease, SHORTEST_SECONDS))).outwaited
    pending = {peer.name: peer for peer in receipt.members}
    doubted = receipt.replicas > 0
    nap = _SHORTEST_NAP
    while (pending or doubted or not receipt.mature) and now() < until:
        time.sleep(min(nap, max(0.0, until - now())))
        nap = min(1.2 * nap, _LONGEST_NAP)
        try:
            incarnation, peers = ledger.members()
        except UnreachableError:
            continue
        if incarnation == receipt.incarnation:
            doubted = False
            # Who is no member any more has left, or was outwaited by another clear: its lease has ended.
            late = {peer.name for peer in peers if peer.acknowledged < receipt.sequence}
            pending = {name: peer for name, peer in pending.items() if name in late}
    for peer in pending.values():
        with contextlib.suppress(UnreachableError):
            ledger.expel(receipt.incarnation, peer)
    names = [peer.name for peer in receipt.members]
    return Members(tuple(sorted(name for name in names if name not in pending)), tuple(sorted(pending)))
