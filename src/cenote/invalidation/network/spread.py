"""A ledger whose entries are spread over a cluster: the log lies in one slot, the entries in those of its shards.

Why nothing old is served although no step spans two slots: see ``spread_scripts`` for keys. A clear makes the names of
what it covers dead, wherever that lies. What tags or a prefix made old is told from its birth, when it is read.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.network import spread_scripts
from cenote.invalidation.network.answers import Receipt, Value
from cenote.invalidation.network.ledger import Ledger, new_incarnation
from cenote.invalidation.network.link import Link, UnreachableError
from cenote.invalidation.network.sealed import Sealed, place_of
from cenote.invalidation.network.shards import Task, do_each, number_of, tags_of
from cenote.meters import Meters

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
        self._took = threading.local()

    def shard_of(self, identifier: str) -> Sealed:
        """Return the shard of an entry."""
        return self.shards[number_of(identifier)]

    def value_key(self, incarnation: str, cache: str, generation: int, identifier: str) -> bytes:
        """Return the key of a value."""
        return self.shard_of(identifier).value_key(incarnation, cache, generation, identifier)

    # Claims

    def claim(self, values: Sequence[bytes], token: str, milliseconds: int) -> list[int]:
        """Claim the loads of values in their shards, as ``Shard.claim`` does, in one round trip.

        What a shard has that is out of reach is loaded without asking, unless no other one was asked.
        """
        tasks, places = list[Task](), list[list[int]]()
        for shard, held in self._by_shard(values).items():
            scripts = shard.to_claim([values[place] for place in held], token, milliseconds)
            tasks += [Task(shard, script) for script in scripts]
            taken = iter(held)
            places += [[next(taken) for _ in range(len(script[1]) // 2)] for script in scripts]
        answers = _unless_none(do_each(tasks))
        found = [1] * len(values)
        for held, answer in zip(places, answers, strict=True):
            if isinstance(answer, list):
                for place, each in zip(held, answer, strict=True):
                    found[place] = each
        return found

    def extend(self, claims: Sequence[tuple[bytes, str, int]]) -> None:
        """Have claims last longer in their shards, as ``Shard.extend`` does, in one round trip."""
        held = self._by_shard([value for value, _, _ in claims])
        found = do_each(
            [
                Task(shard, script)
                for shard, places in held.items()
                for script in shard.to_extend([claims[place] for place in places])
            ]
        )
        for answer in found:
            if isinstance(answer, UnreachableError):
                raise answer

    def _by_shard(self, values: Sequence[bytes]) -> dict[Sealed, list[int]]:
        found: dict[Sealed, list[int]] = {}
        for place, value in enumerate(values):
            found.setdefault(self._by_opening[value[: value.index(b"}:") + 2]], []).append(place)
        return found

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
        told = [incarnation, shard.number, seal]
        registered = self.link.run(
            spread_scripts.REGISTER, self._hashes, lambda: [*told, new_incarnation(), self.channel]
        )
        return seal.decode() if registered == 1 else None

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
        """Append a record that fits, as ``Ledger.record`` does, and do what it says where its entries lie."""
        if not incarnation:
            return self._place(record.cache or "")
        told: dict[str, Any] = {
            "incarnation": incarnation,
            "generation": generation,
            "since": since,
            "quiet": quiet,
            "replicas": replicas,
            "patience": patience,
        }
        if record.kind is RecordKind.KEY:
            if value is None:
                return super().record(record, name=name, **told)
            return self._record_key(record, name, value, told)
        # What goes is counted before: behind the record others take it away.
        live, sample, exact = self._covered(record, incarnation, generation, most)
        receipt = super().record(record, name=name, **told)
        if not receipt.sequence:
            return receipt
        if record.kind in (RecordKind.TAGS, RecordKind.PREFIX) and not record.soft:
            self._drop(record, receipt)
        exact = exact and (receipt.incarnation, receipt.generation) == (incarnation, generation)
        live, sample = self._all_taken(name, live, sample)
        return replace(receipt, live=live, sample=tuple(sample), exact=exact)

    def _all_taken(self, name: str, live: int, sample: list[str]) -> tuple[int, list[str]]:
        """Return what an invalidation took the first time that this thread had it done: done again it finds less."""
        known: tuple[str, int, list[str]] = getattr(self._took, "known", ("", 0, []))
        if name and known[0] == name and known[1] > live:
            return known[1:]
        self._took.known = (name, live, sample)
        return live, sample

    def _drop(self, record: Record, receipt: Receipt) -> None:
        """Have what tags or a prefix cover given back; what a shard out of reach has leaves when its time is over.

        Place and sequence are those of the record itself, so whatever was born behind it is told apart, and stays.
        """
        place = place_of(receipt.incarnation, record.cache or "", receipt.generation)
        arguments = [record.kind.value, receipt.sequence, place, *map(_written, record.covered)]
        tasks = [Task(shard, (spread_scripts.DROP, [shard.guard], arguments)) for shard in self.shards]
        for shard, left in zip(self.shards, do_each(tasks), strict=True):
            shard.covers = shard.covers or left == 1

    def _record_key(self, record: Record, name: str, value: Value, told: dict[str, Any]) -> Receipt:
        """Write the record of a key between two steps at its shard.

        Why nothing old comes back: from the first step on its shard keeps no load of the key, until the last one has
        raised the floor to the record. If the change is not known any more by then, or the record was written in
        another generation or incarnation than its first step was for, all of it is done again, with a record of its
        own: whoever has obeyed the former one may have copied a load that was kept meanwhile.
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
        opening = [incarnation, seal, change.place, change.name, secrets.token_hex(8)]
        live = shard.link.run(spread_scripts.OPEN, change.keys, [*opening, mode])
        if live == -1:
            self.unseal(shard, incarnation, seal)
            return self._place(cache)
        live = self._all_taken(name, live, [])[0]
        told["quiet"] = value.payload is not None
        receipt = super().record(record, **told)
        if receipt.incarnation != incarnation:
            return replace(receipt, sequence=0, head=receipt.sequence)
        fits = receipt.generation == generation
        payload = (value.payload or b"") if fits and mode == "take" else b""
        closing = [change.field, 0 if mode == "soften" else receipt.sequence]
        kept = [payload, value.milliseconds, value.ends, *map(_written, value.tags)]
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
                change.place,
                change.name,
                birth,
                change.field,
                value.payload,
                value.milliseconds,
                value.ends,
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
        found = self.link.run(spread_scripts.PLACE, self._hashes, lambda: [new_incarnation(), cache])
        incarnation, generation, head = found
        return Receipt(incarnation.decode(), 0, generation, head)

    # Figures

    def _covered(self, record: Record, incarnation: str, generation: int, most: int) -> tuple[int, list[str], bool]:
        """Return how many entries a record covers, identifiers of some, and whether that is exact."""
        places = [place_of(incarnation, record.cache or "", generation)]
        if record.kind is RecordKind.CLEAR_ALL:
            found = self.link.run(spread_scripts.NAMES, self._hashes, [incarnation])
            places = [place_of(incarnation, name.decode(), last) for name, last in found]
        arguments = [record.kind.value, most, *places, *map(_written, record.covered)]
        tasks = [Task(shard, (spread_scripts.COUNT, [shard.guard], arguments)) for shard in self.shards if places]
        live, sample, exact = 0, list[str](), True
        for answer in do_each(tasks):
            if isinstance(answer, UnreachableError):
                exact = False
                continue
            live += answer[0]
            sample += [name.decode("utf-8", "surrogatepass") for name in answer[1]]
            exact = exact and bool(answer[2])
        return live, sample[:most], exact

    def measure(self, meters: Meters) -> None:
        """Write how often this process asked all nodes, and whether it takes one for out of reach."""
        super().measure(meters)
        for shard in self.shards:
            meters.calls += shard.link.calls
            meters.call_failures += shard.link.failures
            meters.breakers |= shard.link.resting

    # What needs to be done now and then

    def garbage(self) -> bytes | None:
        """Return a place that was cleared, and whose values may still be there."""
        found: bytes | None = self.link.call(lambda client: client.lindex(f"{self.opening}garbage", -1))
        return found

    def reaped(self, place: bytes) -> None:
        """Note that nothing is left of a place."""
        self.link.call(lambda client: client.lrem(f"{self.opening}garbage", -1, place))

    # Coming and going

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connections alone."""
        super().after_fork()
        self._took = threading.local()
        for shard in self.shards:
            shard.after_fork()
            shard.link.after_fork()

    def close(self) -> None:
        """Close the connections."""
        super().close()
        for shard in self.shards:
            shard.link.close()


def _unless_none(answers: list[Any]) -> list[Any]:
    """Return answers; raise the UnreachableError where there is nothing else."""
    failures = [answer for answer in answers if isinstance(answer, UnreachableError)]
    if failures and len(failures) == len(answers):
        raise failures[0]
    return answers


def _written(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
