"""The ledger: what the server holds of one namespace, and all that is ever done to it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine import fitted
from cenote.invalidation.network import index_scripts, scripts, value_scripts
from cenote.invalidation.network.answers import Floors, Peer, Receipt, Renewal, Value
from cenote.invalidation.network.link import Link, UnreachableError
from cenote.invalidation.network.records import packed_record, unpacked_record
from cenote.invalidation.network.shards import Shard
from cenote.meters import Meters

__all__ = ["Ledger", "new_incarnation", "new_name"]

_EVERYTHING: Final = Record(kind=RecordKind.CLEAR_ALL)

_QUIET: Final = -2
"""What stands for the milliseconds of a value that lies elsewhere."""


class Ledger(Shard):
    """One namespace at one server.

    All keys begin with ``cenote:{namespace}:``; the braces keep them in one slot of a cluster, and apart from those of
    namespaces whose names begin alike.

    Every method raises UnreachableError when the server is out of reach, or refuses.
    """

    def __init__(self, link: Link, namespace: str) -> None:
        """Prepare; nothing is sent.

        Args:
            link: The server.
            namespace: The namespace.
        """
        super().__init__(link, namespace)
        self.namespace = namespace
        self.channel = f"{self.opening}bell"
        self.log_key = f"{self.opening}log"
        self._hashes = [f"{self.opening}log", f"{self.opening}tags"]

    # Members

    def renew(
        self,
        member: str,
        incarnation: str,
        applied: int,
        *,
        lease: float,
        unverified: float,
        replicas: int,
        patience: float,
    ) -> Renewal:
        """Register a member and return what it does not know yet.

        Args:
            member: The member; "" to ask without becoming one.
            incarnation: The incarnation that it followed last; "" for none.
            applied: The sequence that it has; -1 for nothing.
            lease: Seconds that its leases last.
            unverified: Seconds for which it may serve copies unverified after one.
            replicas: How many replicas must know of it, as far as the member knows.
            patience: Seconds to wait for them.
        """
        arguments = [member, incarnation, applied, int(lease * 1000), int(unverified * 1000)]
        waited = ["WAIT", replicas, self._milliseconds(patience)] if replicas else None
        answer, told = self.link.run_and(scripts.RENEW, self._hashes, lambda: [new_incarnation(), *arguments], waited)
        found, head, mature, needed, number, known, rest, members = answer
        records = None
        floors: dict[str | None, Floors] = {}
        everything = Floors(0, 0)
        if known and None not in rest:
            records = [unpacked_record(raw).at(number) for number, raw in enumerate(rest, applied + 1)]
        elif known:
            # As when a cluster moves keys away from under a script: nobody could follow this log any more.
            self.forget(replicas=replicas, patience=patience)
            raise UnreachableError("the server has lost records of its log, so that it begins a new one")
        else:
            everything = Floors(*rest[:2])
            for at in range(2, len(rest), 4):
                floors[rest[at].decode() or None] = Floors(*rest[at + 1 : at + 4])
        return Renewal(
            found.decode(), head, bool(mature), records, floors, everything, needed, told or 0, number, members
        )

    def _milliseconds(self, patience: float) -> int:
        """Return how long to wait for replicas; the answer must not come too late to be heard."""
        return int(min(patience, self.link.answer / 2) * 1000)

    def acknowledge(self, incarnation: str, member: str, sequence: int) -> bool:
        """Note that a member's machine obeys all up to a sequence; return whether the server still knows it."""
        return bool(self.link.run(scripts.ACK, self._hashes, [incarnation, member, sequence]))

    def ripen(self, incarnation: str) -> None:
        """Mark an incarnation mature."""
        self.link.run(scripts.MATURE, self._hashes, [incarnation])

    def members(self) -> tuple[str, list[Peer]]:
        """Return the incarnation, "" for none, and its members."""
        incarnation, found = self.link.run(scripts.MEMBERS, self._hashes, [])
        return incarnation.decode(), _peers(found)

    def expel(self, incarnation: str, peer: Peer) -> None:
        """Remove a member whose lease has ended or was withdrawn, unless it has renewed since."""
        self.link.run(scripts.EXPEL, self._hashes, [incarnation, peer.name, peer.renewals])

    def head(self) -> tuple[str, int, int]:
        """Return incarnation, head and replicas; "" when a new incarnation is due."""
        incarnation, head, replicas = self.link.run(scripts.HEAD, self._hashes, [])
        return incarnation.decode(), head, replicas

    def forget(self, *, replicas: int, patience: float) -> bool:
        """Have a new incarnation begin, where the server is too full to note anything.

        Args:
            replicas: How many replicas the server should have at least.
            patience: Seconds to wait for them.

        Returns:
            Whether all replicas know of it: else a master that was deposed could do this alone.
        """
        wanted = max(replicas, self.head()[2])

        def both(client: Any) -> Any:
            with client.pipeline(transaction=False) as pipe:
                pipe.hdel(self._hashes[0], "inc")
                pipe.execute_command("WAIT", wanted, int(patience * 1000))
                return pipe.execute()

        return bool(self.link.call(both)[1] >= wanted)

    # Records and values

    def record(
        self,
        record: Record,
        *,
        incarnation: str = "",
        generation: int = 0,
        since: int = 0,
        name: str = "",
        value: Value | None = None,
        quiet: bool = False,
        most: int = 0,
        replicas: int = 0,
        patience: float = 0.0,
    ) -> Receipt:
        """Append a record that fits, with what goes with it.

        Args:
            record: The record; with a value, that of one key.
            incarnation: The one that the names of value and indexes carry.
            generation: The generation that they carry.
            since: A sequence that was written before this was asked for.
            name: What it is called, so that it is done once however often it is sent; "" for one that is sent by this
                call alone.
            value: What becomes of the key's value; None to leave that alone.
            quiet: Whether it is a set whose value lies elsewhere: nobody waits until others have learned of it.
            most: How many identifiers of what went to return.
            replicas: How many replicas must know of it, as far as the caller knows; 0 to wait for none.
            patience: Seconds to wait for them.
        """
        cache = record.cache or ""
        (record,) = fitted(record)
        key: str | bytes = (
            self._hashes[0] if value is None else self.value_key(incarnation, cache, generation, record.covered[0])
        )
        indexes = self.index_keys(incarnation, cache, generation)
        payload = b"" if value is None or value.payload is None else value.payload
        covered = [text.encode("utf-8", "surrogatepass") for text in record.covered]
        arguments = [
            incarnation,
            generation,
            record.kind.value,
            int(record.soft),
            cache,
            packed_record(record),
            packed_record(_EVERYTHING),
            most,
            payload,
            (_QUIET if quiet else 0) if value is None else value.milliseconds,
            0 if value is None else value.ends,
            len(covered),
            *covered,
            self.channel,
            since,
            name or new_name(),
            *(() if value is None else (tag.encode("utf-8", "surrogatepass") for tag in value.tags)),
        ]
        keys: list[str | bytes] = [*self._hashes, key, *indexes]
        waited = ["WAIT", replicas, self._milliseconds(patience)] if replicas else None
        found, told = self.link.run_and(scripts.RECORD, keys, lambda: [new_incarnation(), *arguments], waited)
        if not found[1]:
            return Receipt(found[0].decode(), 0, found[2], found[3])
        sample = tuple(name.decode("utf-8", "surrogatepass") for name in found[5])
        return Receipt(
            incarnation=found[0].decode(),
            sequence=found[1],
            generation=found[2],
            mature=bool(found[3]),
            live=found[4],
            sample=sample,
            members=tuple(_peers(found[6])),
            lease=found[7] / 1000,
            replicas=found[8],
            told=told or 0,
            kept=bool(payload),
            exact=bool(found[9]),
        )

    def put(
        self,
        cache: str,
        identifier: str,
        value: Value,
        *,
        incarnation: str,
        generation: int,
        birth: int,
    ) -> bool:
        """Keep a loaded value unless something has made it old; return whether it is kept."""
        key = self.value_key(incarnation, cache, generation, identifier)
        arguments = [
            incarnation,
            generation,
            birth,
            cache,
            identifier.encode("utf-8", "surrogatepass"),
            value.payload,
            value.milliseconds,
            value.ends,
            *(tag.encode("utf-8", "surrogatepass") for tag in value.tags),
        ]
        keys: list[str | bytes] = [*self._hashes, key, *self.index_keys(incarnation, cache, generation)]
        return bool(self.link.run(value_scripts.PUT, keys, arguments))

    def give_back(self, limit: int) -> int:
        """Take at most so many values that nobody can be served out of the server; return how many were looked at."""
        return int(self.link.run(index_scripts.GIVE_BACK, self._hashes[:1], [limit]))

    def check(
        self, cache: str, identifier: str, *, incarnation: str, generation: int, birth: int, tags: Iterable[str]
    ) -> int:
        """Return 2 when a value was made old since its birth by a prefix or a tag, 1 when softly, else 0."""
        texts = [text.encode("utf-8", "surrogatepass") for text in (identifier, *tags)]
        arguments = [incarnation, generation, birth, cache, *texts]
        return int(self.link.run(value_scripts.CHECK, self._hashes, arguments))

    # Coming and going

    def measure(self, meters: Meters) -> None:
        """Write how often this process asked the server, and whether it takes it for out of reach."""
        self.link.measure(meters)

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        self.link.after_fork()

    def close(self) -> None:
        """Close the connections."""
        self.link.close()


def _peers(found: Sequence[Any]) -> list[Peer]:
    return [
        Peer(name.decode(), renewals, acknowledged, doubts / 1000) for name, renewals, acknowledged, doubts in found
    ]


def new_name() -> str:
    """Make a name of an invalidation."""
    return secrets.token_hex(8)


def new_incarnation() -> str:
    """Make the name of an incarnation: at the client, since a fresh server's own random numbers repeat.

    Why each sending has another one: between two of them the server may have lost the log that the first one began.
    Under one name its numbers would begin again, and who knew the first of them would take them for what it has obeyed.
    """
    return f"{secrets.randbits(128) | 1 << 127:032x}"
