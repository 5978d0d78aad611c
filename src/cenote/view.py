"""Views of a cache: what can be seen of it without changing anything."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

from cenote.core import CacheCore
from cenote.errors import ConfigurationError, InvalidKeyError
from cenote.keys import check_key
from cenote.listing import describe, list_entries, list_keys
from cenote.missing import why_missing
from cenote.options import CacheOptions
from cenote.result import EntryInfo, EntryPage, Miss
from cenote.stats import CacheStats
from cenote.tables import Slot

__all__ = ["CacheView"]


class CacheView:
    """What every cache shows: its name, its options, its entries and its statistics."""

    def __init__(self, core: CacheCore) -> None:
        """Look at a core."""
        self._core = core

    def __repr__(self) -> str:
        return f"<Cache of {self.title}: {self._core.live()} entries>"

    @property
    def name(self) -> str | None:
        """The service's name; None for the global cache."""
        return self._core.name

    @property
    def title(self) -> str:
        """How messages name it."""
        return "global cache" if self.name is None else f"cache for service: {self.name}"

    @property
    def options(self) -> CacheOptions:
        """Its options."""
        return self._core.options

    def __bool__(self) -> bool:
        """A cache is true however empty it is: ``if cache:`` asks whether there is one."""
        return True

    def __len__(self) -> int:
        """How many live entries there are."""
        self._core.check_open()
        return self._core.live()

    def __contains__(self, key: object) -> bool:
        """Whether there is a live entry of a key; counts as no read."""
        try:
            check_key(key)
        except InvalidKeyError:
            return False
        return self.explain(cast("str", key)).found

    def keys(self, prefix: str | None = None, tag: str | None = None, limit: int | None = None) -> list[str]:
        """Return identifiers in order.

        Args:
            prefix: Only those that begin so.
            tag: Only of entries that carry this tag.
            limit: How many at most; None for all.
        """
        return list_keys(self._core, prefix, tag, limit)

    def entries(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> EntryPage:
        """Return one page of entries in the order of their identifiers.

        Args:
            prefix: Only those whose identifier begins so.
            tag: Only those that carry this tag.
            cursor: What the page before returned.
            limit: How many at most.

        Raises:
            ConfigurationError: The cursor is not one that a page returned, or the limit is less than 1.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"limit must be a whole number of 1 or more, not {limit!r}")
        return list_entries(self._core, prefix, tag, cursor, limit)

    def functions(self) -> list[str]:
        """Return the names of the memoized functions that can still be called, sorted."""
        found = dict(self._core.functions)
        return sorted(name for name, function in found.items() if function() is not None)

    def explain(self, key: str) -> EntryInfo:
        """Say what is known of one entry, and why it is fresh, stale or missing; counts as no read."""
        self._core.check_open()
        slot, place = self._core.place_of(key)
        return describe(self._core, slot, key, self._core.look(slot, key, place), place)

    def last_miss(self, key: str) -> Miss:
        """Say why a key is missing, or why its last load was needed; counts as no read."""
        self._core.check_open()
        slot, place = self._core.place_of(key)
        return why_missing(self._core, slot, place, self._core.look(slot, key, place))

    def count_expired(self, entries: int) -> None:
        """Count entries that ended in a shared store."""
        with self._core.lock:
            self._core.counts.expirations += entries

    def stats(self) -> CacheStats:
        """Return the statistics since the cache was made, over all processes that share it."""
        self._core.check_open()
        return self._core.stats()

    def own_stats(self) -> CacheStats:
        """Return what this process alone counted since it made the cache."""
        self._core.check_open()
        self._core.current()
        return self._core.own_stats()

    def _place(self, key: str) -> tuple[Slot, Hashable]:
        """Return the table and key that a text leads to, or raise InvalidKeyError."""
        self._core.check_open()
        slot, place = self._core.place_of(key)
        if place is None:
            raise InvalidKeyError(
                f"{key!r} looks like a call of a memoized function, but its arguments cannot be read back"
            )
        return slot, place
