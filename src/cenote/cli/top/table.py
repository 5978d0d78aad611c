"""The table of the caches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.style import Style

from cenote.cli.top.board import Board
from cenote.cli.top.lines import Lines
from cenote.cli.top.words import compact, fit, name_of, percent, seconds, spark, worth

__all__ = ["ServiceTable"]

_PLAIN: Final = Style()
_BUSY: Final = Style(color="yellow", bold=True)
_LOW: Final = Style(color="red")
_LOW_RATE: Final = 50.0
_WIDEST_NAME: Final = 40
_WIDEST_SPARK: Final = 60


def _recent(row: Mapping[str, Any], field: str) -> Any:
    return (row.get("recent") or {}).get(field)


def _limit(row: Mapping[str, Any]) -> str:
    most = row.get("maxSize")
    return compact(row.get("currentSize")) + ("" if most is None else f"/{compact(most)}")


def _loads(row: Mapping[str, Any]) -> str:
    return compact(row.get("loads"))


# Heading, width, what it is sorted by, and what it shows.
_COLUMNS: Final[tuple[tuple[str, int, str, Callable[[Mapping[str, Any]], str]], ...]] = (
    ("hit rate", 8, "recentHitRate", lambda row: percent(_recent(row, "hitRate"))),
    ("reads/s", 7, "recentReads", lambda row: compact(_recent(row, "readsPerSecond"))),
    ("entries", 11, "entries", _limit),
    ("bytes", 5, "bytes", lambda row: compact(row.get("bytes"))),
    ("evict", 5, "evictions", lambda row: compact(row.get("evictions"))),
    ("loads", 5, "loadSeconds", _loads),
    ("saved", 8, "savedSeconds", lambda row: seconds(row.get("savedSeconds"))),
)


class ServiceTable(Lines):
    """All caches, a line each; those that are being cleared or refilled are marked.

    Args:
        board: What is known of them.
    """

    def __init__(self, board: Board, **options: Any) -> None:
        super().__init__(**options)
        self._board = board

    def heading(self, width: int) -> str:
        """Return the line above the table, with an arrow at what it is sorted by."""
        name, curve = _widths(width)
        order = self._board.order
        arrow = "▼" if order.descending else "▲"
        parts = [fit(" cache" + (arrow if order.sort == "name" else ""), name)]
        for title, size, sort, _ in _COLUMNS:
            marked = title.replace(" ", "")[: size - 1] + arrow if order.sort == sort else title
            parts.append(fit(marked, size, right=True))
            if sort == "recentHitRate":
                parts.append(fit("10 minutes", curve))
        return " ".join(parts)

    def line(self, place: int, width: int) -> tuple[str, Style]:
        """Return a cache's figures."""
        row = self._board.row(place)
        if row is None:
            return " …", _PLAIN
        name, curve = _widths(width)
        mark = "*" if row.get("clearing") else "~" if _is_refilled(row) else " "
        parts = [fit(mark + name_of(row.get("serviceName")), name)]
        for _, size, sort, figure in _COLUMNS:
            parts.append(fit(figure(row), size, right=True))
            if sort == "recentHitRate":
                parts.append(spark((row.get("sparkline") or {}).get("hitRate") or (), curve, 100))
        rate = worth(_recent(row, "hitRate"))
        style = _BUSY if mark != " " else _LOW if rate is not None and rate < _LOW_RATE else _PLAIN
        return " ".join(parts), style

    def service_at(self, place: int) -> tuple[bool, str | None]:
        """Return whether a row is known, and whose it is."""
        row = self._board.row(place)
        return (False, None) if row is None else (True, row.get("serviceName"))


def _is_refilled(row: Mapping[str, Any]) -> bool:
    return (row.get("refill") or {}).get("state") == "running"


def _widths(width: int) -> tuple[int, int]:
    """Return how wide the names and the curves are."""
    taken = sum(size + 1 for _, size, _, _ in _COLUMNS) + 1
    room = max(width - taken, 20)
    name = min(max(room - 10, room * 3 // 5), _WIDEST_NAME)
    return name, min(max(room - name, 8), _WIDEST_SPARK)
