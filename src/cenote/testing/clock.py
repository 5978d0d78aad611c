"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that moves only when told to; threads may share it.

    Args:
        start: What both readings begin with, in seconds.
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, start: float = 1000.0) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        """Return seconds on a clock that never goes backwards."""
        return self._now

    def time(self) -> float:
        """Return the same reading as seconds since the Unix epoch."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock on.

        Args:
            seconds: By how much; not negative.

        Returns:
            The new reading in seconds.

        Raises:
            ValueError: If ``seconds`` is negative or not a number.
        """
        if not seconds >= 0:
            msg = f"a clock never goes backwards: advance({seconds!r})"
            raise ValueError(msg)
        with self._lock:
            self._now += seconds
            return self._now

    def __repr__(self) -> str:
        return f"FakeClock({self._now:g})"
