"""Sealed shards: those of a cluster, each with a guard that tells whether what lies beside it may be believed."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from cenote.invalidation.network.link import Link
from cenote.invalidation.network.shards import Shard
from cenote.invalidation.network.wire import packed

__all__ = ["Change", "Sealed"]


class Change(NamedTuple):
    """What the scripts of a shard take of a key.

    Attributes:
        keys: The guard, the changes under way, the value, two indexes.
        name: The identifier.
        field: The field of its floor.
        tag_index: How the names of the generation's indexes by tag begin.
    """

    keys: list[str | bytes]
    name: bytes
    field: bytes
    tag_index: str


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

    def request(self, keys: Sequence[bytes]) -> bytes:
        """Return the bytes that ask for values, and then for what tells whether they may be believed."""
        return packed([b"MGET", *keys]) + self._beside

    @staticmethod
    def read(connection: Any) -> tuple[list[bytes | None], tuple[str, str] | None]:
        """Read the answers to ``request``: values, and the incarnation and seal of a guard that was made there.

        Why values are that guard's: they were read before it. It was made by this very process in this very role, which
        another server's data never replaced since: else the second half of its identity would be another one.
        """
        values = connection.read_response()
        incarnation, seal, identity = connection.read_response()
        found = re.search(rb"master_replid:([0-9a-f]+)", connection.read_response())
        if None in (incarnation, seal, identity) or found is None or identity != connection.run_id + found[1]:
            return values, None
        return values, (incarnation.decode(), seal.decode())

    def change(self, incarnation: str, cache: str, generation: int, identifier: str) -> Change:
        """Return what the scripts of a shard take of a key."""
        name = identifier.encode("utf-8", "surrogatepass")
        # Not of a generation: what is under way when a clear comes is under way behind it too.
        under_way = f"{self.opening}i:{incarnation[:16]}:{cache}:".encode() + name
        value = self.value_key(incarnation, cache, generation, identifier)
        return Change(
            [self.guard, under_way, value, *self.index_keys(incarnation, cache, generation)],
            name,
            f"f:{cache}\0".encode() + name,
            self.tag_index(incarnation, cache, generation, ""),
        )
