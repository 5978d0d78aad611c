"""Refills: how loads are to be let through behind a clear, as callers say it and as the clear's record carries it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from cenote.errors import ConfigurationError
from cenote.options import seconds

__all__ = ["EndedBy", "Refill", "RefillOrder", "RefillStatus", "packed_tally", "with_tallies"]

EndedBy = Literal["hottestBack", "maxSeconds", "cleared", "stopped", "switchedOff"]

_FORMAT: Final = "1"
_ROOM: Final = 200
"""Bytes that an order takes at most, so that it fits into a record wherever that is written."""


@dataclass(frozen=True, slots=True)
class Refill:
    """How loads are let through behind a clear.

    Attributes:
        rate: Loads a second, of all processes and machines that share the cache together; each takes its share.
        max_seconds: Seconds after which loads are let through as always.
        wait_seconds: Seconds that a caller waits for its load to be let through.
        on_timeout: What becomes of a caller that waited so long: "load" loads all the same, "error" raises
            RefillTimeoutError.
    """

    rate: float
    max_seconds: float = 600.0
    wait_seconds: float = 10.0
    on_timeout: Literal["load", "error"] = "load"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        rate = self.rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 1_000_000:
            raise ConfigurationError(f"rate must be a number of loads a second, above 0, not {rate!r}")
        object.__setattr__(self, "max_seconds", seconds("max_seconds", self.max_seconds))
        object.__setattr__(self, "wait_seconds", seconds("wait_seconds", self.wait_seconds, zero=True))
        if self.on_timeout not in ("load", "error"):
            raise ConfigurationError(f"on_timeout must be 'load' or 'error', not {self.on_timeout!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RefillStatus:
    """How a refill goes on, in all processes of the machine as far as they have reported.

    Attributes:
        clear_id: The clear that it is behind.
        running: Whether it goes on.
        rate: Loads a second, of all who share the cache together.
        started: When it began, in seconds since the Unix epoch.
        seconds: Seconds since then.
        max_seconds: Seconds after which it ends.
        admitted: Loads that were let through.
        waiting: Loads that wait.
        timed_out: Loads that waited too long.
        hottest: How many keys are on the list of the hottest.
        hottest_back: How many of these were let through.
        ended_by: What ended it in this process; None while it goes on.
    """

    clear_id: str
    running: bool
    rate: float
    started: float
    seconds: float
    max_seconds: float
    admitted: int
    waiting: int
    timed_out: int
    hottest: int
    hottest_back: int
    ended_by: EndedBy | None


@dataclass(frozen=True, slots=True)
class RefillOrder:
    """A refill as the record of its clear carries it, so that everybody who obeys the record begins it.

    Attributes:
        refill: Its terms.
        clear_id: The receipt of the clear; "" where that is too long to be carried.
        begun: When the clear began, in seconds since the Unix epoch. Only who comes later asks for it, to know whether
            the refill goes on; nothing that decides what is served does.
    """

    refill: Refill
    clear_id: str
    begun: float

    @property
    def until(self) -> float:
        """When it is over at the latest, in seconds since the Unix epoch."""
        return self.begun + self.refill.max_seconds

    def written(self) -> str:
        """Return the text of it, which every later version reads."""
        refill = self.refill
        terms = (refill.rate, refill.max_seconds, refill.wait_seconds)
        text = " ".join([_FORMAT, *map(repr, map(float, terms)), refill.on_timeout, repr(float(self.begun)), ""])
        whole = text + self.clear_id
        return whole if len(whole.encode("utf-8", "surrogatepass")) <= _ROOM else text

    @classmethod
    def read(cls, text: str) -> RefillOrder | None:
        """Return what was written; None where that cannot be read, for the clear holds all the same."""
        parts = text.split(" ", 6)
        if len(parts) != 7 or parts[0] != _FORMAT:
            return None
        try:
            rate, longest, wait, begun = (float(parts[at]) for at in (1, 2, 3, 5))
            refill = Refill(rate, longest, wait, "error" if parts[4] == "error" else "load")
        except (ValueError, ConfigurationError):
            return None
        return cls(refill, parts[6], begun) if math.isfinite(begun) else None


_FIELDS: Final = {"waiting": 13, "timed_out": 14, "admitted": 20, "hottest": 8, "hottest_back": 8}
"""How many bits each of the numbers takes that a process tells the others of its refill; one bit says that it runs."""


def packed_tally(status: RefillStatus) -> int:
    """Return what a process tells the others of its refill, as one word; numbers that are too great are cut."""
    word = int(status.running)
    for name, bits in _FIELDS.items():
        word = word << bits | min(getattr(status, name), (1 << bits) - 1)
    return word


def with_tallies(status: RefillStatus, words: Iterable[int]) -> RefillStatus:
    """Add what other processes tell of the same refill."""
    sums = {name: getattr(status, name) for name in _FIELDS}
    # What the next clear ended is over everywhere, whatever others have not told yet.
    cleared, running = status.ended_by == "cleared", status.running
    for word in words:
        for name, bits in reversed(_FIELDS.items()):
            sums[name] += word & ((1 << bits) - 1)
            word >>= bits  # noqa: PLW2901  # taken apart
        running = running or (bool(word & 1) and not cleared)
    return replace(status, **sums, running=running, ended_by=None if running else status.ended_by)
