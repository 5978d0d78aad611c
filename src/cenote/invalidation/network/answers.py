"""Answers: what a server says of a namespace, and what it is told of a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from cenote.invalidation.log import Record

__all__ = ["TAKE_OUT", "Floors", "Peer", "Receipt", "Renewal", "Value"]


class Peer(NamedTuple):
    """A member as the server knows it.

    Attributes:
        name: The member.
        renewals: The number of its last renewal; no other renewal has it.
        acknowledged: The sequence up to which its machine obeys all records.
        unverified: Seconds for which its machine may serve copies that it cannot verify, after its lease.
    """

    name: str
    renewals: int
    acknowledged: int
    unverified: float = 0.0


class Floors(NamedTuple):
    """The floors of a cache: the sequences of its last hard and soft clear, and invalidation by tags or a prefix."""

    hard: int
    soft: int
    scoped: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server says of a record.

    Attributes:
        incarnation: The incarnation that it was written in.
        sequence: Its place; 0 when nothing was done: it was meant for another generation, or for an earlier head.
        generation: The generation of the cache before it.
        head: The last sequence, where nothing was done.
        mature: Whether all leases of earlier incarnations have ended.
        live: How many live entries went.
        sample: Identifiers of some.
        members: Who must learn of it.
        lease: Seconds that their leases last at most.
        replicas: How many replicas the server was ever seen to have.
        told: How many of them know of the record.
        kept: Whether the server keeps the value that the record came with.
        exact: Whether ``live`` is exact, as far as the indexes are: nothing was counted twice.
    """

    incarnation: str
    sequence: int
    generation: int
    head: int = 0
    mature: bool = False
    live: int = 0
    sample: tuple[str, ...] = ()
    members: tuple[Peer, ...] = ()
    lease: float = 0.0
    replicas: int = 0
    told: int = 0
    kept: bool = False
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the server says to a member that renews.

    Attributes:
        incarnation: The incarnation in force.
        head: The last sequence.
        mature: Whether all leases of earlier incarnations have ended.
        records: The records since what the member has, in order; None when some are no longer kept.
        floors: In that case those of all services; None is the global cache.
        everything: And those of everything.
        replicas: How many replicas the server was ever seen to have.
        told: How many of them know of the renewal.
        number: The number of the renewal.
        members: How many machines share the log and hold leases.
    """

    incarnation: str
    head: int
    mature: bool
    records: list[Record] | None
    floors: dict[str | None, Floors]
    everything: Floors
    replicas: int
    told: int
    number: int
    members: int


class Value(NamedTuple):
    """A value that a record comes with.

    Attributes:
        payload: Its bytes; None to take the value out.
        milliseconds: How long it may be kept; -1, without bytes, to leave alone what is there.
        ends: When that is over, in seconds of wall-clock time.
        tags: Its tags.
    """

    payload: bytes | None
    milliseconds: int = 0
    ends: float = 0.0
    tags: frozenset[str] = frozenset()


TAKE_OUT: Final = Value(None)
"""What takes a value out."""
