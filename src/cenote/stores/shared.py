"""The ports of shared stores: what processes keep together, on one machine or on many."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from cenote.stores.stored import StoredEntry

__all__ = ["Place", "SharedReads", "SharedStore"]

Place = tuple[str, int]
"""A cache's name ("" for the global cache) and its generation, the sequence of its last clear."""


class SharedReads(ABC):
    """What is read of the encoded entries of one namespace, by any thread of any process at any time.

    Within a place an entry is named by its identifier, a non-empty text. Every method raises StoreError when the store
    cannot be read.
    """

    @abstractmethod
    def find(self, cache: str, generation: int, identifier: str) -> StoredEntry | None:
        """Return an entry, or None when there is none, when its time is over, or when it is damaged.

        An entry whose ``hard_until`` is this very moment is over.
        """

    @abstractmethod
    def find_fresh(self, cache: str, generation: int, identifier: str, *, floor: int) -> bytes | None:
        """Return only the payload of an entry, the sooner for that.

        None unless it was born at the floor or later, does not go stale at this very moment or before, and has no
        fingerprint. It may also be None where ``find`` would have to look closer.
        """

    @abstractmethod
    def carriers(self, cache: str, generation: int, tags: Iterable[str], limit: int) -> list[str]:
        """Return identifiers of at most ``limit`` entries that carry at least one of the tags, each once."""

    @abstractmethod
    def matching(self, cache: str, generation: int, prefix: str, *, after: str | None = None, limit: int) -> list[str]:
        """Return at most ``limit`` identifiers that begin with a prefix, in the store's own unchanging order.

        Args:
            cache: The cache's name.
            generation: Its generation.
            prefix: What they begin with; "" matches all.
            after: The last identifier of the page before; it need not exist any more.
            limit: How many at most.
        """

    @abstractmethod
    def entries(
        self, cache: str, generation: int, *, prefix: str = "", after: str | None = None, limit: int
    ) -> list[StoredEntry]:
        """Return at most ``limit`` live entries in the order of ``matching``, without their payloads."""

    @abstractmethod
    def count(self, cache: str, generation: int) -> tuple[int, int]:
        """Return entries and bytes of a place, those included whose time is over since the last sweep."""

    def tidy(self, places: Iterable[Place], limit: int) -> bool:  # noqa: ARG002  # where it is done otherwise
        """Take at most so many entries out whose time is over, or that were cleared; return whether there are more.

        Args:
            places: Those in force.
            limit: How many.
        """
        return False

    @abstractmethod
    def close(self) -> None:
        """Give the store up; every later call but this one raises StoreError."""

    @abstractmethod
    def after_fork(self) -> None:
        """In a forked child: leave what the parent has open alone, and open anew when first used."""


class SharedStore(SharedReads):
    """Where the encoded entries of one namespace live.

    A clear changes nothing here: the caller goes on with a higher generation, and what older generations left is
    garbage until ``reap`` has removed it. Within a place an entry is named by its identifier, a non-empty text.

    Reading methods may be called from any thread of any process at any time. Whoever calls another method holds the
    machine-wide lock, so there is one writer at a time. A change is seen whole or not at all, also when its writer is
    killed. Each takes the ``sequence`` of the record it obeys, and the store's head never goes back.

    Every method raises StoreError when the store cannot be read or written; nothing is half-written then.
    """

    @abstractmethod
    def put(self, cache: str, generation: int, entry: StoredEntry, *, sequence: int) -> int:
        """Keep an entry, in place of an older one of its identifier.

        Returns:
            How many other entries were evicted to make room, garbage included.

        Raises:
            StoreFullError: The entry is larger than a quarter of the limit and evicts nothing, or there is no room
                for it whatever is evicted; an older value of its identifier is not replaced.
        """

    @abstractmethod
    def remove(self, cache: str, generation: int, identifier: str, *, sequence: int) -> bool:
        """Take an entry out.

        Returns:
            Whether a live one was there; one whose time was over goes too, and does not count.
        """

    @abstractmethod
    def remove_many(
        self, cache: str, generation: int, identifiers: Iterable[str], *, before: int, sequence: int
    ) -> int:
        """Take out those of the named entries that were born before a sequence, all in one change.

        Returns:
            How many live ones went.
        """

    @abstractmethod
    def soften_many(
        self, cache: str, generation: int, identifiers: Iterable[str], *, before: int, sequence: int
    ) -> int:
        """Set the birth of those of the named entries that were born before a sequence to SOFT, all in one change.

        Returns:
            How many live ones were softened; those that were soft already do not count.
        """

    @abstractmethod
    def sweep(self, limit: int) -> dict[Place, int]:
        """Take out at most ``limit`` entries whose time is over, the longest over first.

        Returns:
            How many went from each place.
        """

    @abstractmethod
    def reap(self, floor: Callable[[str], int], limit: int) -> int:
        """Take out at most ``limit`` entries of generations below their cache's floor.

        Returns:
            How many went; 0 when there is no garbage left.
        """

    @abstractmethod
    def garbage(self, floor: Callable[[str], int]) -> int:
        """Return how many entries wait for ``reap``."""

    @abstractmethod
    def mark(self, sequence: int) -> None:
        """Note that the log has come to a sequence."""

    @property
    @abstractmethod
    def stamp(self) -> tuple[str, int]:
        """The incarnation that the store was last reset for, "" before, and the highest sequence seen since."""

    @abstractmethod
    def reset(self, incarnation: str, head: int) -> None:
        """Forget every entry of this namespace and set the stamp, in one change."""

    @abstractmethod
    def sync(self) -> None:
        """Bring what was written to the disk; without this only a crash of the machine can lose it."""
