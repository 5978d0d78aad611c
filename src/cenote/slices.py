"""Time slices: long work that lets go of the interpreter now and then, so that readers wait for one slice at most.

Without it they would wait for ``sys.getswitchinterval()``, five milliseconds, whenever they ask for the interpreter.
"""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Slices"]

_SLICE_SECONDS: Final = 0.002
_NAP_SECONDS: Final = 0.0005
"""Long enough for a reader to wake up: one that does not in time waits for the next slice as well."""


class Slices:
    """The slices of one piece of work, which one thread does with no lock held."""

    def __init__(self) -> None:
        """Begin the first slice."""
        self._began = time.perf_counter()

    def rest(self) -> float:
        """Let go of the interpreter if a slice is over.

        Returns:
            For how many seconds it was away, with what others took meanwhile; 0 where the slice goes on.
        """
        now = time.perf_counter()
        if now < self._began + _SLICE_SECONDS:
            return 0.0
        time.sleep(_NAP_SECONDS)
        self._began = time.perf_counter()
        return self._began - now
