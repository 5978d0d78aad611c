"""Sealed shards: those of a cluster, each with a guard that tells whether what lies beside it may be believed."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from cenote.invalidation.network import spread_scripts
from cenote.invalidation.network.index_scripts import GIVE_BACK
from cenote.invalidation.network.link import Link
from cenote.invalidation.network.shards import Shard
from cenote.invalidation.network.wire import packed

__all__ = ["Change", "Sealed", "place_of"]


class Change(NamedTuple):
    """What the scripts of a shard take of a key.

    Attributes:
        keys: The guard, the changes under way, the value.
        place: What the names of the generation's values and indexes carry.
        name: The identifier.
        field: The field of its floor.
    """

    keys: list[str | bytes]
    place: str
    name: bytes
    field: bytes


class Sealed(Shard):
    """One shard, and what this process knows of its guard."""

    def __init__(self, link: Link, tag: str, number: int) -> None:
        """Prepare; nothing is sent.

        Args:
            link: The server.
            tag: The hash tag.
            number: Which shard it is.
        """
        super().__init__(link, tag)
        self.number = number
        self.guard = f"{self.opening}guard"
        self._beside = packed([b"HMGET", self.guard.encode(), b"inc", b"seal", b"id"]) + packed(
            [b"INFO", b"replication"]
        )
        self.after_fork()

    def after_fork(self) -> None:
        """In a forked child: know nothing."""
        self.lock = threading.Lock()
        self.known = ("", "")
        """An incarnation, and the seal that the log knows of this shard in it."""
        self.vain = ("", 0.0)
        """The last incarnation in which there was no seal, and when that was."""
        self.covers = False
        """Whether it may still have what an invalidation of this process covered."""

    def request(self, keys: Sequence[bytes]) -> bytes:
        """Return the bytes that ask for values, and then for what tells whether they may be believed."""
        return packed([b"MGET", *keys]) + self._beside

    @staticmethod
    def believed(answers: Sequence[Any], run_id: bytes) -> tuple[list[bytes | None], tuple[str, str] | None]:
        """Return what the answers to ``request`` say: values, and incarnation and seal of a guard that was made there.

        Why values are that guard's: they were read before it. It was made by this very process in this very role, which
        another server's data never replaced since: else the second half of its identity would be another one.

        Args:
            answers: The answers.
            run_id: The process that gave them.
        """
        values, (incarnation, seal, identity), replication = answers
        found = re.search(rb"master_replid:([0-9a-f]+)", replication)
        if None in (incarnation, seal, identity) or found is None or identity != run_id + found[1]:
            return values, None
        return values, (incarnation.decode(), seal.decode())

    def give_back(self, limit: int) -> int:
        """Take at most so many values that tags or a prefix cover out; return how many were looked at."""
        return int(self.link.run(GIVE_BACK, [self.guard], [limit]))

    def reap(self, place: bytes, limit: int) -> int:
        """Take at most so many values of a place that was cleared out; return how many went."""
        return int(self.link.run(spread_scripts.REAP, [self.guard], [limit, place]))

    def change(self, incarnation: str, cache: str, generation: int, identifier: str) -> Change:
        """Return what the scripts of a shard take of a key."""
        name = identifier.encode("utf-8", "surrogatepass")
        # Not of a generation: what is under way when a clear comes is under way behind it too.
        under_way = f"{self.opening}i:{incarnation[:16]}:{cache}:".encode() + name
        value = self.value_key(incarnation, cache, generation, identifier)
        return Change(
            [self.guard, under_way, value],
            place_of(incarnation, cache, generation),
            name,
            f"f:{cache}\0".encode() + name,
        )


def place_of(incarnation: str, cache: str, generation: int) -> str:
    """Return what the names of a generation's values and indexes carry."""
    return f"{incarnation[:16]}:{cache}:{generation}"
