"""The store of a cluster: the entries of one namespace, spread over the shards of ``SpreadLedger``.

Why nothing old is served: a value counts only beside the guard that the log knows of its shard, made in the incarnation
that this machine follows, whose every loss begins another one. And its birth is checked as everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

from cenote.clock import Clock
from cenote.errors import ClearFailedError
from cenote.invalidation.network.link import UnreachableError
from cenote.invalidation.network.log import NetworkLog
from cenote.invalidation.network.sealed import Sealed
from cenote.invalidation.network.shards import Job, Question, Shard, ask_each, number_of, run_each
from cenote.invalidation.network.spread import SpreadLedger
from cenote.stores.redis import BIRTH_BYTES, LARGEST_BYTES, Name, RedisStore
from cenote.stores.steps import in_steps
from cenote.stores.stored import StoredEntry

__all__ = ["SpreadStore"]

_ANSWERS: Final = 3
"""To what ``Sealed.request`` asks."""


class SpreadStore(RedisStore):
    """Entries of one namespace in a cluster."""

    _ledger: SpreadLedger

    def __init__(self, ledger: SpreadLedger, log: NetworkLog, clock: Clock, *, largest: int = LARGEST_BYTES) -> None:
        """Look at a namespace; see ``RedisStore``."""
        super().__init__(ledger, log, clock, largest=largest)
        self._places_of: dict[tuple[str, int, int], bytes] = {}
        self._turn = 0

    def _key(self, shelf: str, generation: int, identifier: str) -> bytes:
        number = number_of(identifier)
        opening = self._places_of.get((shelf, generation, number))
        if opening is None:
            if len(self._places_of) > 10_000:
                self._places_of = {}
            cache, _, incarnation = shelf.partition(":")
            opening = self._ledger.shards[number].value_key(incarnation, cache, generation, "")
            self._places_of[shelf, generation, number] = opening
        return opening + identifier.encode("utf-8", "surrogatepass")

    # Reads

    def _line(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return nothing: several servers are asked at once, in a thread."""

    def read(self, names: Sequence[Name]) -> list[bytes | None]:
        """Return what the shards have of entries, where their guards are those that the log knows.

        What a shard has that is out of reach counts as missing, unless no other one was asked.
        """
        found: list[bytes | None] = [None] * len(names)
        try:
            incarnation = self._log.incarnation
        except ClearFailedError:
            return found  # another file is being attached to
        ending = ":" + incarnation[:16]
        wanted: dict[int, list[int]] = {}
        for place, name in enumerate(names):
            if name[0].endswith(ending):
                wanted.setdefault(number_of(name[2]), []).append(place)
        jobs = [
            self._job(self._ledger.shards[number], incarnation, [self._key(*names[place]) for place in places])
            for number, places in wanted.items()
        ]
        answers = run_each(jobs)
        failures = [answer for answer in answers if isinstance(answer, UnreachableError)]
        if failures and len(failures) == len(answers):
            raise failures[0]
        for places, values in zip(wanted.values(), answers, strict=True):
            if isinstance(values, list):
                for place, raw in zip(places, values, strict=True):
                    found[place] = raw if raw is not None and len(raw) > BIRTH_BYTES else None
        return found

    def _job(self, shard: Sealed, incarnation: str, keys: list[bytes]) -> Job:
        """Return what reads values of a shard, or None where its guard is not the one that the log knows."""
        request = shard.request(keys)
        inc, known = shard.known
        started = shard.link.start(request) if inc == incarnation else None

        def read() -> list[bytes | None] | None:
            seal = known if inc == incarnation else self._ledger.seal(shard, incarnation, patient=False)
            if seal is None:
                return None
            values, guard = Sealed.believed(*shard.link.ask(request, _ANSWERS, started))
            if guard == (incarnation, seal):
                return values
            # Its server lost something, was replaced, or this machine is about to follow another incarnation.
            self._ledger.unseal(shard, incarnation, seal)
            return None

        return Job(shard.link, started, read)

    def put(self, shelf: str, generation: int, entry: StoredEntry) -> bool:
        """Keep what was loaded, as ``RedisStore.put`` does.

        What tags or a prefix made old would not be served; it need not be kept either.
        """
        if entry.birth < (self._scoped(shelf) or 0) and self._check((shelf, generation, entry.identifier), entry) == 2:
            return False
        return super().put(shelf, generation, entry)

    def _values(self, keys: list[bytes]) -> list[bytes | None]:
        found: dict[bytes, bytes | None] = {}
        questions = [
            Question(shard, [[b"MGET", *own]])
            for shard in self._ledger.shards
            if (own := [key for key in keys if key.startswith(shard.opening.encode())])
        ]
        for question, ((values,)) in zip(questions, self._each(questions), strict=True):
            found.update(zip(question.commands[0][1:], values, strict=True))  # type: ignore[arg-type]  # keys are bytes
        return [found[key] for key in keys]

    @property
    def evicts(self) -> bool:
        """Whether a node has evicted anything since it was started."""
        questions = [Question(shard, [[b"INFO", b"stats"]]) for shard in self._ledger.shards]
        return any(b"\nevicted_keys:0\r" not in said for (said,) in self._each(questions))

    # Listings

    def _asked(self, shelf: str, generation: int, command: Callable[[str, str], Sequence[Any]]) -> list[Any]:
        """Return the answer of each shard to a command, made for its indexes by end and by name."""
        cache, _, incarnation = shelf.partition(":")
        questions = [
            Question(shard, [command(*shard.index_keys(incarnation, cache, generation))])
            for shard in self._ledger.shards
        ]
        return [answer for (answer,) in self._each(questions)]

    @staticmethod
    def _each(questions: Sequence[Question]) -> list[list[Any]]:
        found = []
        for answers in ask_each(questions):
            if isinstance(answers, UnreachableError):
                raise answers
            found.append(answers)
        return found

    def count(self, cache: str, generation: int) -> tuple[int, int]:
        now = self._clock.time()
        return sum(self._asked(cache, generation, lambda by_end, _: ["ZCOUNT", by_end, now, "+inf"])), 0

    def _names(self, shelf: str, generation: int, first: bytes, last: bytes, limit: int) -> list[bytes]:
        # Each shard's are in the order of their bytes, and what stands first among all stands among its shard's first.
        found = self._asked(
            shelf, generation, lambda _, by_name: ["ZRANGEBYLEX", by_name, first, last, "LIMIT", 0, limit]
        )
        return list(islice(heapq.merge(*found), limit))

    # What needs to be done now and then

    def _due(self) -> Shard:
        """Return one shard after another, having seen that what it has is not lost.

        So a loss is noticed although nobody reads there, and a guard does not end while the log goes on.
        """
        self._turn = (self._turn + 1) % len(self._ledger.shards)
        shard = self._ledger.shards[self._turn]
        with contextlib.suppress(ClearFailedError, UnreachableError):
            self._ledger.look_after(shard, self._log.incarnation)
        return shard

    def _sweep(self, shard: Shard, shelf: str, generation: int, limit: int) -> int:
        with contextlib.suppress(UnreachableError):
            return super()._sweep(shard, shelf, generation, limit)
        return 0

    def _give_back(self, limit: int) -> int:
        """Give back values in this turn's shard, where this process left something, and what was cleared.

        What is out of reach leaves by itself when its time is over.
        """
        done = 0
        for shard in self._ledger.shards:
            if done < limit and (shard.covers or shard.number == self._turn):
                with contextlib.suppress(UnreachableError):
                    done += in_steps(limit - done, shard.give_back)
                shard.covers = done >= limit
        place = self._ledger.garbage() if done < limit else None
        if place is None:
            return done
        gone = 0
        for shard in self._ledger.shards:
            if done + gone < limit:
                with contextlib.suppress(UnreachableError):
                    gone += in_steps(limit - done - gone, functools.partial(shard.reap, place))
        if not gone:
            self._ledger.reaped(place)
        return done + (gone or 1)
