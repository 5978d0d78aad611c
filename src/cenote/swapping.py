"""Swaps: one State in another's place, of one cache or of all at once, and what becomes of the old one."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from cenote import locks
from cenote.core import CacheCore
from cenote.departures import Fate
from cenote.entry import Entry
from cenote.errors import ReentrantError
from cenote.invalidation.log import Record, RecordKind
from cenote.refills import RefillOrder
from cenote.state import State
from cenote.tables import Slot

__all__ = [
    "Tally",
    "close_all",
    "entries_of",
    "finish",
    "forget_all",
    "hold_all",
    "names_of",
    "refuse_amid_swap",
    "release_all",
    "swap",
    "swap_all",
]


@dataclass
class Tally:
    """What a clear took: how many entries, and the identifiers of some.

    Attributes:
        entries: How many live entries.
        items: Identifiers, at most ``most``.
        most: How many to list.
        exact: Whether ``entries`` is exact; else it is an estimate, and of a dry run the least.
        clear_id: The receipt.
        refill: How the refill behind it is paced; None: not at all.
    """

    most: int
    entries: int = 0
    items: list[str] = field(default_factory=list)
    exact: bool = True
    clear_id: str | None = None
    refill: RefillOrder | None = None

    @property
    def room(self) -> int:
        """How many more identifiers it lists."""
        return self.most - len(self.items)

    def list_items(self, names: Sequence[Slot], entries: Iterable[Entry]) -> None:
        """Add identifiers of entries, as far as there is room."""
        for entry in islice(entries, self.room):
            self.items.append(names[entry.slot].identifier(entry.key))


def hold_all(cores: Sequence[CacheCore]) -> None:
    """Take the write locks of several caches.

    It waits for a lock only while it holds none: a finalizer or a signal handler that interrupted a change of one cache
    may wait for another one's lock.
    """
    contended: CacheCore | None = None
    while True:
        held: list[CacheCore] = []
        try:
            if contended is not None:
                contended.lock.acquire()
                held.append(contended)
            former, contended = contended, None
            for core in cores:
                if core is not former:
                    if not core.lock.acquire(blocking=False):
                        contended = core
                        break
                    held.append(core)
        except BaseException:
            release_all(held)
            raise
        if contended is None:
            return
        release_all(held)


def release_all(cores: Sequence[CacheCore]) -> None:
    """Give the locks back."""
    for core in cores:
        core.lock.release()


def names_of(core: CacheCore) -> list[Slot]:
    """Return how tables name their entries now, whoever gets a name or a table later; call under the write lock."""
    return [Slot(slot.index, slot.keys) for slot in core.slots]


def entries_of(tables: list[dict[Hashable, Entry]]) -> Iterator[Entry]:
    """Iterate over the entries of several tables."""
    for table in tables:
        yield from table.values()


def refuse_amid_swap(core: CacheCore) -> None:
    """Raise ReentrantError amid another cache's swap in this thread, which would put the old State back in force."""
    if locks.owned(core.root.lock):
        raise ReentrantError("clear")


def _replacement(core: CacheCore, *, soft: bool, sequence: int | None) -> tuple[State, State]:
    """Return the present State and what takes its place; call under the write lock.

    Args:
        core: The cache.
        soft: Whether everything stays, as stale.
        sequence: The record's; None when nobody else is told, and then everything goes.
    """
    state = core.state
    if not soft:
        core.end_pace("cleared")
    # Exact counts: what has ended unseen is no live entry. The keeper keeps this backlog small.
    ended = state.store.sweep_out(core.now())
    core.note_gone(ended, Fate.EXPIRED)
    core.count_gone(expired=len(ended), invalidated=len(state.store))
    if sequence is None:
        return state, core.fresh()
    return state, state.softened(sequence) if soft else core.emptied(state, sequence)


def swap(core: CacheCore, *, soft: bool, tell: bool, refill: RefillOrder | None = None) -> tuple[State, int]:
    """Put a new State in force and return the old one, with the record's sequence; call under the write lock."""
    refuse_amid_swap(core)
    record = Record(kind=RecordKind.CLEAR, cache=core.name, soft=soft, refill=refill)
    sequence = core.log.append(record) if tell else None
    old, new = _replacement(core, soft=soft, sequence=sequence)
    core.install(new)
    core.note_size()
    return old, sequence or 0


def swap_all(
    cores: Sequence[CacheCore], *, soft: bool, sequence: int | None
) -> list[tuple[CacheCore, list[Slot], State]]:
    """Put new States of all caches in force with one store; call under the write locks."""
    swapped = [(core, names_of(core), *_replacement(core, soft=soft, sequence=sequence)) for core in cores]
    cores[0].root.replace({core.index: new for core, _, _, new in swapped})
    for core in cores:
        core.note_size()
    return [(core, names, old) for core, names, old, _ in swapped]


def close_all(cores: Sequence[CacheCore]) -> None:
    """Empty and close every cache of this process in one step, so that nothing is stored in between."""
    hold_all(cores)
    try:
        swapped = swap_all(cores, soft=False, sequence=None)
        for core in cores:
            core.running = False
            core.closed = True
    finally:
        release_all(cores)
    for core, names, old in swapped:
        finish(core, old, names, soft=False, tally=Tally(most=0))


def forget_all(cores: Sequence[CacheCore]) -> None:
    """Leave everything behind in this process, in one step, because it may have missed what others cleared."""
    hold_all(cores)
    try:
        olds = [core.state for core in cores]
        cores[0].root.replace({core.index: core.fresh() for core in cores})
        for core, old in zip(cores, olds, strict=True):
            core.counts.invalidations += len(old.store)
            core.note_size()
            core.join_refill()
    finally:
        release_all(cores)
    for core, old in zip(cores, olds, strict=True):
        core.bury(old)


def finish(core: CacheCore, old: State, names: list[Slot], *, soft: bool, tally: Tally) -> None:
    """List identifiers of what a whole clear took, and hand the rest to the keeper."""
    if not core.keeps_originals:
        if not soft:
            core.bury(old, cleared=True)
        return
    if soft:
        with core.lock:
            sample = list(islice(entries_of(old.tables), tally.room))
        tally.list_items(names, sample)
        return
    # Nobody publishes into a State that is not in force, so its tables stand still.
    tally.list_items(names, entries_of(old.tables))
    core.bury(old, cleared=True)
