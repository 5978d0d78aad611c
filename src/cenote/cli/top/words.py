"""Figures in few characters, and texts that no terminal obeys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from cenote.cli.output import printable
from cenote.cli.render import counted, seconds

__all__ = [
    "GLOBAL",
    "clock",
    "compact",
    "counted",
    "fit",
    "name_of",
    "per_second",
    "percent",
    "seconds",
    "shown",
    "spark",
    "worth",
]

GLOBAL: Final = "(global)"
"""What the global cache is called; no service can have this name."""

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_UNITS: Final = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def shown(value: Any) -> str:
    """Return what a server said with control characters written out; it is text, never markup or an escape."""
    return printable(str(value))


def name_of(service: Any) -> str:
    """Return what a cache is called on the screen."""
    return GLOBAL if service is None else shown(service)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return text in exactly so many columns, wide characters counted as two; what is too long ends in ``…``."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(set_cell_size(text, max(width - 1, 0)) + "…", width)
    return " " * (width - size) + text if right else text + " " * (width - size)


def compact(value: Any) -> str:
    """Return a number in at most five characters."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    for size, unit in _UNITS:
        # From here on the smaller unit would round up to four digits.
        if abs(value) >= size * 0.9995:
            number = value / size
            return f"{number:.1f}{unit}" if abs(number) < 99.95 else f"{number:.0f}{unit}"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 99.95 or value == int(value) else f"{value:.1f}"


def percent(value: Any) -> str:
    """Return a rate in percent, one decimal."""
    return f"{value:.1f}%" if _is_number(value) else "-"


def per_second(value: Any) -> str:
    """Return a number for each second."""
    return f"{compact(value)}/s" if _is_number(value) else "-"


def clock(moment: Any) -> str:
    """Return the time of day of a moment of the wire."""
    return shown(moment)[11:19] if moment else "-"


def worth(value: Any) -> float | None:
    """Return a number of the wire, or None for anything else."""
    return float(value) if _is_number(value) else None


def spark(values: Sequence[Any], width: int, top: float | None = None) -> str:
    """Draw a series as block characters.

    Args:
        values: The points, the oldest first; what is no number was not measured and stays empty.
        width: Columns. More points than that are averaged, fewer stand at the right.
        top: What a full block means; None: the greatest value.

    Returns:
        So many characters.
    """
    numbers = [worth(value) for value in values]
    if len(numbers) > width:
        numbers = [
            _mean(numbers[_cut(i, len(numbers), width) : _cut(i + 1, len(numbers), width)]) for i in range(width)
        ]
    measured = [number for number in numbers if number is not None]
    full = max(measured, default=0.0) if top is None else top
    return "".join(_block(number, full) for number in numbers).rjust(width)


def _cut(part: int, points: int, width: int) -> int:
    return part * points // width


def _mean(numbers: Sequence[float | None]) -> float | None:
    measured = [number for number in numbers if number is not None]
    return sum(measured) / len(measured) if measured else None


def _block(number: float | None, full: float) -> str:
    if number is None:
        return " "
    if full <= 0:
        return _BLOCKS[0]
    share = min(max(number / full, 0.0), 1.0)
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
