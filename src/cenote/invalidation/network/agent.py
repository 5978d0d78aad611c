"""The agent: the one of a machine who holds its lease, and keeps its mirror of the network's log.

Why what it publishes holds: it notes the time, asks, writes all records that the answer has into the mirror, says so to
the server, and only then publishes a deadline counted from the time that it noted. A clear waits for that word, or
until no lease that was asked for before it can be relied on.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import redis

from cenote.clock import lease_clock as now
from cenote.errors import CenoteError, StoreError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine import Mirror
from cenote.invalidation.network import scripts
from cenote.invalidation.network.answers import Peer, Renewal
from cenote.invalidation.network.lease import Lease, Unverified
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.link import Link
from cenote.invalidation.network.records import heard

__all__ = ["Agent"]

logger = logging.getLogger("cenote")

_REST_SECONDS: Final = 0.05
"""How long to wait after a failure, at first and at most a third of a lease later."""

_GATHERED_SECONDS: Final = 0.01
"""For how long sets of other machines are gathered, before copies of what they replaced are dropped."""

_RING_SECONDS: Final = 0.005
"""How long after what was cleared watchers are woken to free it; reads look for themselves."""

_LINGER_SECONDS: Final = 5.0
"""How long an agent stays when nobody has the mirror open."""


class Agent:
    """The loop of one machine's agent."""

    def __init__(
        self,
        url: str,
        namespace: str,
        path: Path,
        lease: Lease,
        member: str,
        *,
        replicas: int = 0,
        leased: bool = True,
        unverified: float = 0.0,
    ) -> None:
        """Prepare; ``run`` does the work.

        Args:
            url: The server, as ``Address.of`` takes it.
            namespace: The namespace.
            path: The mirror's file.
            lease: The terms.
            member: What this machine is called.
            replicas: How many replicas the server has at least; what it was seen to have counts too.
            leased: Whether this machine holds leases; without, nobody waits for it, and its reads ask the server.
            unverified: Seconds for which this machine's processes may serve copies unverified after a lease.

        Raises:
            ConfigurationError: The mirror cannot be opened.
        """
        self._link = Link(url, namespace, answer=min(1.0, lease.seconds / 3))
        self._ledger = Ledger(self._link, namespace)
        self._lease = lease
        self._member = member
        self._leased = leased
        self._unverified = Unverified(unverified)
        self._stop = threading.Event()
        self._bell: Any = None
        self._moves = 0
        self._seen = ("", 0.0)
        self._least_replicas = self._replicas = replicas
        self._mirror = Mirror(path)
        self._renewals, self._failures = self._mirror.renewals
        self._followed = ""
        """The last incarnation that this machine followed, though it may have forgotten all of it."""
        self._unrung = False
        self._standing: tuple[str, Peer] | None = None
        """What the server knows of this member, and in which incarnation."""

    @property
    def begins(self) -> bool:
        """Whether the mirror was kept by nobody before."""
        return not self._mirror.incarnation

    def rename(self, member: str) -> None:
        """Be another member; before ``run``."""
        self._member = member

    def stop(self) -> None:
        """Have ``run`` return soon."""
        self._stop.set()

    def run(self, wanted: Callable[[], bool] | None = None) -> None:
        """Renew the lease until stopped, or until nobody has had the mirror open for a while.

        Args:
            wanted: Asked now and then whether to go on, beside that.
        """
        rest = _REST_SECONDS
        idle_since = now()
        try:
            while not self._stop.is_set() and (wanted is None or wanted()):
                if self._mirror.attached:
                    idle_since = now()
                elif now() - idle_since > _LINGER_SECONDS:
                    return
                try:
                    self.turn()
                    rest = _REST_SECONDS
                    self._wait()
                except (StoreError, CenoteError, ValueError, OSError) as error:
                    self._failures += 1
                    if not self._mirror.in_place:
                        # Whoever is told figures meanwhile is told those of processes that ended too.
                        with contextlib.suppress(CenoteError, OSError):
                            self._mirror.look_anew()
                    self._mirror.count_renewals(self._renewals, self._failures)
                    logger.info(
                        "the lease of %s was not renewed: %s", self._member, error, extra={"member": self._member}
                    )
                    self._hang_up()
                    self._link.look_anew()
                    self._stop.wait(rest)
                    self._link.wake()
                    rest = min(2 * rest, self._lease.renewed)
        finally:
            self.close()

    def turn(self) -> None:
        """Renew the lease once.

        Raises:
            UnreachableError: The server cannot be asked; the lease that there is runs out by itself.
        """
        if self._bell is None or self._moves != self._link.moves:
            self._hang_up()
            self._listen()
        mirror = self._mirror
        known = mirror.incarnation if mirror.in_place else ""
        self._followed = known or self._followed
        asked = now()
        found = self._ledger.renew(
            self._member if self._leased else "",
            self._followed,
            mirror.head if known else -1,
            lease=self._lease.seconds if self._leased else 0.0,
            # With each renewal, so that nobody relies on a deadline that comes without it.
            unverified=self._unverified.seconds,
            replicas=self._replicas,
            patience=self._lease.renewed,
        )
        self._standing = (found.incarnation, Peer(self._member, found.number, found.head))
        if found.incarnation != known or found.records is None:
            self._begin(found)
        elif found.records:
            mirror.apply(found.records)
        mirror.count_members(found.members)
        self._replicas = max(found.replicas, self._least_replicas)
        holds = self._leased and self._ledger.acknowledge(found.incarnation, self._member, found.head)
        self._note_unrung(found.records or ())
        if holds:
            self._hold(found, asked)
        self._ripen(found)

    def _hold(self, found: Renewal, asked: float) -> None:
        if found.told < self._replicas:
            # A master that was deposed would go on granting leases for ever.
            raise StoreError(f"{found.told} of {self._replicas} replicas follow the server, so there is no lease")
        self._mirror.publish(asked + self._lease.held)
        self._renewals += 1
        self._mirror.count_renewals(self._renewals, self._failures)

    def _begin(self, found: Renewal) -> None:
        if found.records is not None and found.head != len(found.records):
            raise StoreError("the server left records out")
        logger.info(
            "%s follows incarnation %s from %d on",
            self._member,
            found.incarnation[:8],
            found.head,
            extra={"member": self._member},
        )
        self._mirror.begin(found.incarnation, found.head, found.floors, found.everything)

    def _ripen(self, found: Renewal) -> None:
        """Mark an incarnation mature once it was seen for as long as anything of an earlier one may be served."""
        if found.mature:
            return
        if self._seen[0] != found.incarnation:
            self._seen = (found.incarnation, now())
        elif now() - self._seen[1] > self._lease.outwaited + self._unverified.outwaited:
            self._ledger.ripen(found.incarnation)

    def _listen(self) -> None:
        """Subscribe to the doorbell: losing it costs time, never safety."""

        def subscribe(client: redis.Redis) -> Any:
            bell: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
            bell.subscribe(self._ledger.channel)
            return bell

        self._moves = self._link.moves
        self._bell = self._link.call(subscribe)

    def _wait(self) -> None:
        """Wait until the lease is to be renewed; obey what the bell says meanwhile, and gather sets."""
        until = now() + self._lease.renewed
        while not self._stop.is_set() and (left := until - now()) > 0:
            if not self._mirror.in_place:
                return
            try:
                message = self._bell.get_message(timeout=min(left, _RING_SECONDS if self._unrung else 0.25))
            except redis.exceptions.RedisError as error:
                raise StoreError(f"the doorbell is gone: {error}") from error
            if message is None:
                self._ring()
            elif message["data"] == scripts.SET_BELL:
                until = min(until, now() + _GATHERED_SECONDS)
            elif not self._obey(message["data"]):
                return

    def _obey(self, message: bytes) -> bool:
        """Write the record of a message into the mirror and say so; return whether nothing is left to ask for.

        Why the word holds: it is the very record that comes behind those in the mirror, in the incarnation that this
        follows, so the mirror has all up to it. No deadline is published here, so the lease ends when it would have.
        """
        mirror = self._mirror
        incarnation, record = heard(message)
        if mirror.incarnation != incarnation or not mirror.in_place or record.sequence > mirror.head + 1:
            return False
        if record.sequence <= mirror.head:
            return True
        mirror.apply([record])
        self._note_unrung([record])
        return not self._leased or self._ledger.acknowledge(incarnation, self._member, record.sequence)

    def _note_unrung(self, records: Iterable[Record]) -> None:
        """Note that watchers are to be woken for what was cleared; copies of single keys go when somebody reads."""
        self._unrung = self._unrung or any(record.kind is not RecordKind.KEY for record in records)

    def _ring(self) -> None:
        """Wake the watchers: behind the word that others wait for, since freeing takes processors from other agents."""
        if self._unrung:
            self._unrung = False
            self._mirror.ring()

    def _hang_up(self) -> None:
        if self._bell is not None:
            with contextlib.suppress(redis.exceptions.RedisError, OSError):
                self._bell.close()
            self._bell = None

    def close(self) -> None:
        """Withdraw the lease and close what is open."""
        self._hang_up()
        self._mirror.close()
        if self._standing is not None:
            with contextlib.suppress(StoreError):
                self._ledger.expel(*self._standing)
        self._link.close()
