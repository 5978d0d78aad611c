"""Clocks: where the library's time comes from, so that tests can own it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, runtime_checkable

__all__ = ["Clock", "SystemClock", "lease_clock"]


_COUNTS_SUSPENSION: Final = getattr(time, "CLOCK_BOOTTIME", None)

lease_clock: Callable[[], float] = (
    time.monotonic if _COUNTS_SUSPENSION is None else partial(time.clock_gettime, _COUNTS_SUSPENSION)
)
"""Seconds on a clock that all processes of a machine share, and that counts while the machine is suspended.

Where the system has no such clock it is the monotonic one, which on macOS counts that too.
"""


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
