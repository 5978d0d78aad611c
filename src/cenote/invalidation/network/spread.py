"""A ledger whose entries are spread over a cluster: the log lies in one slot, the entries in those of its shards.

Why nothing old is served although no step spans two slots: see ``spread_scripts`` for keys. A clear makes the names of
what it covers dead, wherever that lies. What tags or a prefix made old is told from its birth, when it is read.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network import spread_scripts
from cenote.invalidation.network.ledger import Ledger, new_incarnation
from cenote.invalidation.network.link import Link, UnreachableError
from cenote.invalidation.network.receipts import Receipt, Value
from cenote.invalidation.network.sealed import Sealed
from cenote.invalidation.network.shards import Question, Shard, ask_each, number_of, tags_of

__all__ = ["SpreadLedger"]

_AGAIN_SECONDS: Final = 0.05
"""After how long a read asks again for the seal of a shard that had none."""

_MORE: Final = 2
"""How often a value that was loaded is sent once more, where its shard has another guard than it had."""


class SpreadLedger(Ledger):
    """One namespace in a cluster."""

    def __init__(self, link: Link, namespace: str, links: Sequence[Link]) -> None:
        """Prepare; nothing is sent.

        Args:
            link: The node of the log.
            namespace: The namespace.
            links: The nodes of the shards, in the order of ``tags_of``.
        """
        super().__init__(link, namespace)
        self.shards = [
            Sealed(each, tag, number) for number, (tag, each) in enumerate(zip(tags_of(namespace), links, strict=True))
        ]
        self._by_opening = {shard.opening.encode(): shard for shard in self.shards}
        self._named: set[tuple[str, str]] = set()

    def shard_of(self, identifier: str) -> Sealed:
        """Return the shard of an entry."""
        return self.shards[number_of(identifier)]

    def value_key(self, incarnation: str, cache: str, generation: int, identifier: str) -> bytes:
        """Return the key of a value."""
        return self.shard_of(identifier).value_key(incarnation, cache, generation, identifier)

    # Claims

    def claim(self, value: bytes, token: str, milliseconds: int) -> int:
        """Claim the load of a value in its shard, as ``Shard.claim`` does."""
        return self._holder(value).claim(value, token, milliseconds)

    def extend(self, value: bytes, token: str, milliseconds: int) -> None:
        """Have a claim last longer, as ``Shard.extend`` does."""
        self._holder(value).extend(value, token, milliseconds)

    def _holder(self, value: bytes) -> Sealed:
        return self._by_opening[value[: value.index(b"}:") + 2]]

    # Guards

    def seal(self, shard: Sealed, incarnation: str, *, patient: bool = True) -> str | None:
        """Return the seal of a shard in an incarnation, once the log knows it.

        None where the incarnation is in force no more, or ends with this: what the shard had was lost.

        Args:
            shard: The shard.
            incarnation: An incarnation.
            patient: Whether to ask at once though there was none a moment ago.
        """
        if shard.known[0] == incarnation:
            return shard.known[1]
        with shard.lock:
            if shard.known[0] == incarnation:
                return shard.known[1]
            if not patient and shard.vain[0] == incarnation and time.monotonic() - shard.vain[1] < _AGAIN_SECONDS:
                return None
            found: str | None = self._find_seal(shard, incarnation)
            if found is None:
                shard.vain = (incarnation, time.monotonic())
            else:
                shard.known = (incarnation, found)
            return found

    @staticmethod
    def unseal(shard: Sealed, incarnation: str, seal: str) -> None:
        """Ask anew for the seal of a shard whose guard is another one."""
        with shard.lock:
            if shard.known == (incarnation, seal):
                shard.known = ("", "")

    def look_after(self, shard: Sealed, incarnation: str) -> None:
        """Have a new incarnation begin where a shard that this process knows has lost what it had."""
        known, seal = shard.known
        if known == incarnation and not self._sees(shard, incarnation, seal):
            self.unseal(shard, incarnation, seal)
            self.seal(shard, incarnation)

    @staticmethod
    def _sees(shard: Sealed, incarnation: str, seal: str) -> bool:
        return bool(shard.link.run(spread_scripts.SEE, [shard.guard], [incarnation, seal]))

    def _find_seal(self, shard: Sealed, incarnation: str) -> str | None:
        """Have the log and a shard agree on its seal.

        Why that is safe: the log takes one seal for a shard in an incarnation. A guard that is made anew after that has
        another seal, and whoever finds it, or finds none, has a new incarnation begin before anything is done there.
        """
        in_force, known = self.link.run(spread_scripts.STANDING, self._hashes, [incarnation, shard.number])
        if not in_force:
            return None
        seal: bytes = known
        if known and not self._sees(shard, incarnation, known.decode()):
            # By what was connected it may be a master that was deposed.
            shard.link.look_anew()
            seal = known if self._sees(shard, incarnation, known.decode()) else b"lost"
        elif not known:
            seal = shard.link.run(spread_scripts.MAKE, [shard.guard], [incarnation, secrets.token_hex(16)])
        if seal == known:
            return seal.decode()
        arguments = [incarnation, shard.number, seal, new_incarnation(), self.channel]
        return seal.decode() if self.link.run(spread_scripts.REGISTER, self._hashes, arguments) == 1 else None

    # Records and values

    def record(
        self,
        record: Record,
        *,
        incarnation: str = "",
        generation: int = 0,
        since: int = 0,
        value: Value | None = None,
        most: int = 0,
        replicas: int = 0,
        patience: float = 0.0,
    ) -> Receipt:
        """Append a record that fits, as ``Ledger.record`` does, and do what it says where its entries lie."""
        if not incarnation:
            return self._place(record.cache or "")
        told: dict[str, Any] = {
            "incarnation": incarnation,
            "generation": generation,
            "since": since,
            "replicas": replicas,
            "patience": patience,
        }
        if record.kind is RecordKind.KEY:
            if value is None:
                return super().record(record, **told)
            return self._record_key(record, value, told)
        # What goes is counted before: behind the record others take it away.
        live, sample, counted = self._covered(record, incarnation, generation, most)
        receipt = super().record(record, **told)
        return replace(receipt, live=live, sample=tuple(sample), counted=counted) if receipt.sequence else receipt

    def _record_key(self, record: Record, value: Value, told: dict[str, Any]) -> Receipt:
        """Write the record of a key between two steps at its shard.

        Why nothing old comes back: from the first step on its shard keeps no load of the key, until the last one has
        raised the floor to the record. If the change is not known any more by then, or the record was written in
        another generation or incarnation than its first step was for, all of it is done again.
        """
        cache, identifier = record.cache or "", record.covered[0]
        incarnation, generation = told["incarnation"], told["generation"]
        shard = self.shard_of(identifier)
        shard.link.wake()
        seal = self.seal(shard, incarnation)
        if seal is None:
            return self._place(cache)
        change = shard.change(incarnation, cache, generation, identifier)
        mode = "leave" if value.milliseconds == -1 else "soften" if record.soft else "take"
        opening = [incarnation, seal, change.name, secrets.token_hex(8)]
        live = shard.link.run(spread_scripts.OPEN, change.keys, [*opening, mode])
        if live == -1:
            self.unseal(shard, incarnation, seal)
            return self._place(cache)
        receipt = super().record(record, **told)
        if receipt.incarnation != incarnation:
            return replace(receipt, sequence=0, head=receipt.sequence)
        fits = receipt.generation == generation
        payload = (value.payload or b"") if fits and mode == "take" else b""
        closing = [change.field, 0 if mode == "soften" else receipt.sequence]
        kept = [payload, value.milliseconds, value.ends, change.tag_index, *map(_written, value.tags)]
        closed = shard.link.run(spread_scripts.CLOSE, change.keys, [*opening, *closing, *kept])
        if closed == -1:
            self.unseal(shard, incarnation, seal)
        if closed <= 0 or not fits:
            return replace(receipt, sequence=0, head=receipt.sequence)
        return replace(receipt, live=live, kept=closed == 2)

    def put(self, cache: str, identifier: str, value: Value, *, incarnation: str, generation: int, birth: int) -> bool:
        """Keep a loaded value unless its key was made old; return whether it is kept."""
        shard = self.shard_of(identifier)
        for _ in range(_MORE):
            seal = self.seal(shard, incarnation, patient=False)
            if seal is None:
                return False
            self._name(incarnation, cache)
            change = shard.change(incarnation, cache, generation, identifier)
            arguments = [
                incarnation,
                seal,
                change.name,
                birth,
                change.field,
                value.payload,
                value.milliseconds,
                value.ends,
                change.tag_index,
                *map(_written, value.tags),
            ]
            kept: int = shard.link.run(spread_scripts.KEEP, change.keys, arguments)
            if kept != -1:
                return kept == 1
            self.unseal(shard, incarnation, seal)
        return False

    def _name(self, incarnation: str, cache: str) -> None:
        """Have the log know that a cache has values."""
        if (incarnation, cache) in self._named:
            return
        if len(self._named) > 1000:
            self._named = set()
        if self.link.run(spread_scripts.NAME, self._hashes, [incarnation, cache]):
            self._named.add((incarnation, cache))

    def _place(self, cache: str) -> Receipt:
        """Return what a record of a cache must be meant for, as if one had been refused."""
        arguments = [new_incarnation(), cache]
        incarnation, generation, head = self.link.run(spread_scripts.PLACE, self._hashes, arguments)
        return Receipt(incarnation.decode(), 0, generation, head)

    # Figures

    def _covered(self, record: Record, incarnation: str, generation: int, most: int) -> tuple[int, list[str], bool]:
        """Return how many entries a record covers, identifiers of some, and whether all shards were asked."""
        places = [(record.cache or "", generation)]
        if record.kind is RecordKind.CLEAR_ALL:
            found = self.link.run(spread_scripts.NAMES, self._hashes, [incarnation])
            places = [(name.decode(), last) for name, last in found]
        questions = [
            Question(
                shard, [command for place in places for command in _counts(record, shard, incarnation, place, most)]
            )
            for shard in self.shards
            if places
        ]
        live, sample, counted = 0, list[str](), True
        for answers in ask_each(questions):
            if isinstance(answers, UnreachableError):
                counted = False
                continue
            for count, names in zip(answers[::2], answers[1::2], strict=True):
                live += count
                sample += [name.decode("utf-8", "surrogatepass") for name in names]
        return live, sample[:most], counted

    # Coming and going

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        super().after_fork()
        for shard in self.shards:
            shard.after_fork()
            shard.link.after_fork()

    def close(self) -> None:
        """Close the connections."""
        super().close()
        for shard in self.shards:
            shard.link.close()


def _counts(
    record: Record, shard: Shard, incarnation: str, place: tuple[str, int], most: int
) -> list[list[bytes | str | float]]:
    """Return commands in pairs: how many entries a record covers in a shard, and which, but no more than asked for."""
    cache, generation = place
    by_end, by_name = shard.index_keys(incarnation, cache, generation)
    if record.kind is RecordKind.PREFIX:
        first = b"[" + _written(record.covered[0])
        last = first + b"\xff" * 8
        return [
            ["ZLEXCOUNT", by_name, first, last],
            ["ZRANGEBYLEX", by_name, first, last, "LIMIT", 0, most],
        ]
    indexes = [by_end]
    if record.kind is RecordKind.TAGS:
        indexes = [shard.tag_index(incarnation, cache, generation, tag) for tag in record.covered]
    now = time.time()
    found: list[list[bytes | str | float]] = []
    for index in indexes:
        found.append(["ZCOUNT", index, now, "+inf"])
        found.append(["ZRANGEBYSCORE", index, now, "+inf", "LIMIT", 0, most])
    return found


def _written(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
