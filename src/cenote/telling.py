"""Telling: how an invalidation of this process reaches the others, and what they hold.

Why a clear that returns holds in every process: its record is under the head of the log before it returns, and every
read of every process compares that head with what its State has obeyed. What a shared store holds of a selective one is
taken out before the record is written, so whoever obeys the record finds nothing old there; a whole one changes the
generation that entries are found by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from cenote.core import CacheCore
from cenote.errors import ClearFailedError, ReentrantError, StoreError
from cenote.invalidation.log import Record
from cenote.swapping import Tally, entries_of, names_of

__all__ = ["clear_far", "count_live", "entries_elsewhere", "shutting_out", "tell_others"]


def shutting_out(core: CacheCore, action: str, *, tell: bool) -> AbstractContextManager[Any]:
    """Return what keeps other processes away while they are told of something."""
    return core.exclusive(action) if tell else nullcontext()


def tell_others(core: CacheCore, clear: Callable[..., int], tally: Tally) -> None:
    """Run an invalidation and wait until it holds for all who share the caches.

    Where they cannot be told, this process is emptied all the same, and no success is claimed.

    Args:
        core: A cache.
        clear: Does it, tells others or not as ``tell`` says, and returns the sequence.
        tally: Counts anew if others cannot be told.
    """
    try:
        sequence = clear(tell=True)
    except ReentrantError:
        raise
    except (ClearFailedError, StoreError) as error:
        tally.entries = 0
        tally.items.clear()
        clear(tell=False)
        if not isinstance(error, ClearFailedError):
            raise ClearFailedError(str(error)) from error
        if error.level == "none" and core.keeps_originals:  # else old entries are found in the shared store
            error.level = "process"
        raise
    core.log.confirm(sequence)


def clear_far(core: CacheCore, records: Sequence[Record], tally: Tally) -> None:
    """Run invalidations that are written at a server, and count what they take."""
    live, sample, tally.exact = core.clear_far(records, most=tally.room)
    tally.entries += live
    tally.items += sample


def entries_elsewhere(core: CacheCore) -> int:
    """Return how many entries there are outside of this process; with all others kept from changing that."""
    if core.sharing is not None:
        return core.sharing.live(core.state)
    return 0 if core.log.census is None else core.log.census.entries_elsewhere(core.name)


def count_live(core: CacheCore, tally: Tally) -> None:
    """Count what a clear of a whole cache would take."""
    core.check_open()
    core.sweep()
    if core.far and core.sharing is not None:
        # Outside of the lock, which event loops take too: the server is asked.
        state = core.current()
        tally.entries += core.sharing.live(state)
        tally.items += core.sharing.sample(state, tally.room)
        return
    with core.exclusive("count"), core.changing("count"):
        state = core.obey()
        tally.entries += entries_elsewhere(core)
        if core.sharing is not None:
            tally.items += core.sharing.sample(state, tally.room)
            return
        tally.entries += len(state.store)
        sample = list(islice(entries_of(state.tables), tally.room))
        names = names_of(core)
    tally.list_items(names, sample)
