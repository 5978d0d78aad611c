"""Steps: work at a server that others must not wait for long, in small parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["in_steps"]

_STEP: Final = 40
"""How many values one step gives back: others wait for the server meanwhile."""


def in_steps(limit: int, step: Callable[[int], int]) -> int:
    """Look at so many values in small steps, as long as each finds as many as it may; return how many were found."""
    done = 0
    while done < limit:
        wanted = min(_STEP, limit - done)
        looked = step(wanted)
        done += looked
        if looked < wanted:
            break
    return done
