"""What is known of the caches: the totals, and the rows around those that are on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["SORTS", "Board", "Order"]

SORTS: Final = ("name", "recentHitRate", "recentReads", "entries", "bytes", "evictions", "loadSeconds", "savedSeconds")
"""What caches can be sorted by, in the order of the columns."""

_AROUND: Final = 40
_MOST: Final = 500


@dataclass(slots=True)
class Order:
    """What is looked for and what comes first.

    Attributes:
        search: Part of the names.
        sort: One of SORTS.
        descending: Whether the greatest comes first.
    """

    search: str = ""
    sort: str = "name"
    descending: bool = False

    def turn(self, step: int) -> None:
        """Sort by the next column, or the one before; figures begin with the greatest."""
        self.sort = SORTS[(SORTS.index(self.sort) + step) % len(SORTS)]
        self.descending = self.sort != "name"

    def query(self, first: int, rows: int) -> dict[str, Any]:
        """Return the question for the rows that are on the screen and some around them.

        Args:
            first: The first row on the screen, from 0.
            rows: How many there are.
        """
        offset = max(first - _AROUND, 0)
        return {
            "search": self.search or None,
            "sort": self.sort,
            "order": "desc" if self.descending else "asc",
            "offset": offset,
            "limit": min(first - offset + rows + _AROUND, _MOST),
        }


@dataclass(slots=True)
class Board:
    """The last answer of a server, kept current by what it streams.

    Rows are known by their place in the order that the server sorted, and only around the screen: thousands of
    services cost what those on the screen cost.

    Attributes:
        head: The overview without its rows.
        matching: How many caches the search leaves.
        order: What the rows were asked for by.
    """

    order: Order = field(default_factory=Order)
    head: dict[str, Any] = field(default_factory=dict)
    matching: int = 0
    _first: int = 0
    _rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def totals(self) -> Mapping[str, Any]:
        """All caches together."""
        return self.head.get("totals") or {}

    def take(self, overview: Mapping[str, Any]) -> None:
        """Take a whole answer."""
        self.head = {name: value for name, value in overview.items() if name != "caches"}
        self._first = int(overview.get("offset") or 0)
        self._rows = [dict(row) for row in overview.get("caches") or ()]
        self.matching = int(overview.get("matching") or 0)

    def update(self, overview: Mapping[str, Any]) -> None:
        """Take what changed; rows that are not held are passed over, the order stays as it is."""
        if self.head:
            self.head["timestamp"] = overview.get("timestamp")
            self.head["totals"] = {**self.totals, **_moved(overview.get("totals") or {})}
        changed = {row.get("serviceName"): _moved(row) for row in overview.get("caches") or ()}
        for row in self._rows:
            row.update(changed.get(row.get("serviceName")) or {})

    def row(self, place: int) -> Mapping[str, Any] | None:
        """Return the row at a place of the order; None where it is not held."""
        held = 0 <= place - self._first < len(self._rows)
        return self._rows[place - self._first] if held else None

    def place_of(self, service: str | None) -> int | None:
        """Return where a service stands, if its row is held."""
        for place, row in enumerate(self._rows, self._first):
            if row.get("serviceName") == service:
                return place
        return None

    def holds(self, first: int, rows: int) -> bool:
        """Tell whether all rows of a screen are held."""
        last = min(first + rows, self.matching)
        return self._first <= first and last <= self._first + len(self._rows)


def _moved(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stream tells of a cache; curves come with the whole overview only."""
    return {name: value for name, value in row.items() if name != "sparkline"}
