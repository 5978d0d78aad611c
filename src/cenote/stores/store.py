"""The port of stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator

from cenote.entry import Entry

__all__ = ["Store"]


class Store(ABC):
    """Where the entries of one cache live.

    A store has numbered tables: table 0 holds the keys that callers choose (non-empty strings), each further table the
    calls of one memoized function. ``find`` may be called from any thread at any time; everything else is called
    under the State's write lock. A store knows when entries end, never why they are invalid.
    """

    @abstractmethod
    def find(self, key: Hashable, slot: int = 0) -> Entry | None:
        """Return the entry of a key, or None.

        The entry may have ended since the last sweep; the caller compares ``hard_until``.
        """

    @abstractmethod
    def put(self, entry: Entry) -> list[Entry]:
        """Keep an entry, in place of an older one of its key.

        Returns:
            The entries that were evicted to make room. An entry that is larger than the whole store is itself the
            one returned, and an older entry of its key is gone.
        """

    @abstractmethod
    def remove(self, entry: Entry) -> bool:
        """Take this very entry out.

        Returns:
            Whether it was there; another entry of the same key stays.
        """

    @abstractmethod
    def tagged(self, tags: Iterable[str]) -> list[Entry]:
        """Return the entries that carry at least one of the tags, each once."""

    @abstractmethod
    def entries(self, slot: int | None = None) -> Iterator[Entry]:
        """Iterate over a snapshot of the entries of one table, or of all."""

    @abstractmethod
    def sweep(self, now: float, enough: Callable[[], bool] | None = None) -> int:
        """Take out what has ended.

        Args:
            now: Seconds on the monotonic clock; an entry that ends at this very moment has ended.
            enough: Asked now and then; the sweep stops early when it answers True.

        Returns:
            How many entries went.
        """

    @abstractmethod
    def __len__(self) -> int:
        """How many entries there are, those included that have ended since the last sweep."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The sum of the entries' sizes, in bytes when a weigher counts them."""
