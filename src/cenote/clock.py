"""Clocks: where the library's time comes from, so that tests can own it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, runtime_checkable

__all__ = ["Clock", "SystemClock", "clock_that_counts_suspension", "lease_clock", "may_lease"]


def clock_that_counts_suspension(system: str) -> int | None:
    """Return which clock of a system, as ``sys.platform`` names it, counts while it is suspended; None: none is known.

    Linux stops its CLOCK_MONOTONIC meanwhile. macOS does not: there ``time.monotonic`` stops, which Python takes from
    another clock.
    """
    name = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC"}.get(system)
    return None if name is None else getattr(time, name, None)


_COUNTS_SUSPENSION: Final = clock_that_counts_suspension(sys.platform)

lease_clock: Callable[[], float] = (
    time.monotonic if _COUNTS_SUSPENSION is None else partial(time.clock_gettime, _COUNTS_SUSPENSION)
)
"""Seconds on a clock that all processes of a machine share, and that counts while the machine is suspended.

Where no such clock is known it is the monotonic one, and there are no leases.
"""

may_lease: Final = _COUNTS_SUSPENSION is not None
"""Whether a lease can be relied on: it ends for others while a machine is suspended."""


@runtime_checkable
class Clock(Protocol):
    """A source of time.

    ``monotonic`` drives every lifetime; it must never go backwards. ``time`` is only shown to people.
    """

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes backwards."""
        ...

    def time(self) -> float:
        """Return seconds since the Unix epoch."""
        ...


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
