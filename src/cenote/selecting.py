"""Selective clears: of what a tag, a prefix, a key or a function covers.

Covered flights and fills are taken out under the write lock first; from then on nothing older can be published, so
whatever the snapshot taken under the same lock holds of older entries is all there is to take out.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.departures import Fate
from cenote.entry import SOFTLY_CLEARED, Entry
from cenote.errors import ClearFailedError
from cenote.scope import Scope
from cenote.sharing import PAGE
from cenote.state import NOT_SHARED, State
from cenote.swapping import Tally, names_of
from cenote.telling import clear_far, shutting_out, tell_others

__all__ = ["clear_scope"]

CHUNK: Final = 256
"""Entries taken out before the write lock is released for a moment."""


def clear_scope(core: CacheCore, scope: Scope, *, soft: bool, dry_run: bool, tally: Tally) -> None:
    """Clear what a scope covers.

    Args:
        core: The cache.
        scope: What is covered.
        soft: Whether to mark entries stale only.
        dry_run: Whether to count only.
        tally: Where to count.

    Raises:
        ClearFailedError: Other processes may not have learned of it; this one is cleared.
    """
    if dry_run and core.sharing is not None:
        # Outside of the lock, which event loops take too: there may be much to list, and nothing is changed.
        core.check_open()
        covered = _shared_by(core, core.current(), scope)
        tally.entries += len(covered)
        tally.items += covered[: tally.room]
        return
    if dry_run:
        core.current()  # takes part, where this process does not yet
        _clear_scope_here(core, scope, soft=soft, dry_run=True, tell=False, tally=tally)
        # What others hold in their memory is known by number only, not by tag or name.
        census = core.log.census
        tally.exact = tally.exact and (census is None or not census.entries_elsewhere(core.name))
        return

    if core.far:
        clear_far(core, scope.records(core.name, soft=soft), tally)
        return
    sequences: list[int] = []
    tell_others(core, partial(_clear_and_note, core, scope, soft=soft, tally=tally, sequences=sequences), tally)
    if core.sharing is None and core.log.census is not None:
        tally.entries += sum(map(core.log.census.removed_elsewhere, reversed(sequences)))


def _clear_and_note(
    core: CacheCore, scope: Scope, *, soft: bool, tell: bool, tally: Tally, sequences: list[int]
) -> int:
    if core.sharing is not None and tell:
        _take_out_most(core, scope, soft=soft, tally=tally)
    sequences[:] = _clear_scope_here(core, scope, soft=soft, dry_run=False, tell=tell, tally=tally)
    return sequences[-1] if sequences else 0


def _take_out_most(core: CacheCore, scope: Scope, *, soft: bool, tally: Tally) -> None:
    """Take most of what is covered out of the shared store, page by page, so that others can write in between."""
    state = core.current()
    covered = _shared_by(core, state, scope)
    for start in range(0, len(covered) - PAGE, PAGE):
        with core.exclusive("clear"):
            _take_out_shared(core, state, covered[start : start + PAGE], soft=soft, tally=tally, sequence=core.log.head)


def _shared_by(core: CacheCore, state: State, scope: Scope) -> list[str]:
    """Return the identifiers of what is covered in the shared store.

    Raises:
        ClearFailedError: The log cannot be read, so nobody knows what is there: to find nothing would claim that it
            went.
    """
    assert core.sharing is not None  # noqa: S101  # asked before
    if state.generation == NOT_SHARED:
        raise ClearFailedError("this process cannot read the log that its shared store goes by; repeat it")
    prefix = scope.prefix if scope.table is None else scope.table.opening
    return core.sharing.covered(state, tags=scope.tags, prefix=prefix, exact=scope.exact)


def _take_out_shared(
    core: CacheCore, state: State, covered: list[str], *, soft: bool, tally: Tally, sequence: int
) -> None:
    """Take entries out of the shared store, or mark them there; with all others kept away."""
    assert core.sharing is not None  # noqa: S101  # asked before
    count = core.sharing.take_out(state, covered, soft=soft, before=core.log.head + 1, sequence=sequence)
    core.sharing.noted(sequence)
    core.counts.invalidations += count
    tally.entries += count
    tally.items += covered[: tally.room] if count else []


def _clear_scope_here(
    core: CacheCore, scope: Scope, *, soft: bool, dry_run: bool, tell: bool, tally: Tally
) -> list[int]:
    """Clear what a scope covers in this process, and return the sequences of the records written."""
    sequences: list[int] = []
    with shutting_out(core, "clear", tell=tell), core.changing("clear"):
        state = core.obey()
        sequence = core.birth(state) + 1
        if not dry_run:
            if tell:
                sequences = _write(core, state, scope, soft=soft, tally=tally)
                if sequences:
                    sequence = state.applied = sequences[-1]
            if soft:
                scope.soften(state, core.slots)
            else:
                scope.detach(state, core.slots)
        names = names_of(core)
        tagged = state.store.tagged(scope.tags)
        tables = _candidates(core, state, scope)
    covered = tagged
    seen = set(tagged)
    for entries, sure in tables:
        covered += [
            entry for entry in entries if entry not in seen and (sure or scope.covers(names[entry.slot], entry.key))
        ]
    taken: list[Entry] = []
    for start in range(0, len(covered), CHUNK):
        with core.lock:
            if not core.is_current(state):
                break  # a whole clear came in between and has taken the rest
            for entry in covered[start : start + CHUNK]:
                live = state.store.find(entry.key, entry.slot) is entry
                if not live or core.judge(state, entry) is Verdict.DEAD or (not dry_run and entry.birth >= sequence):
                    continue
                taken.append(entry)
                if dry_run:
                    continue
                core.count_gone(invalidated=1)
                if soft:
                    entry.birth = SOFTLY_CLEARED
                else:
                    state.store.remove(entry)
                    core.note_gone([entry], Fate.INVALIDATED)
            core.note_size()
    if core.keeps_originals:
        tally.entries += len(taken)
        tally.list_items(names, taken)
    if not dry_run and not soft:
        core.discard(taken)
    return sequences


def _write(core: CacheCore, state: State, scope: Scope, *, soft: bool, tally: Tally) -> list[int]:
    """Take what is covered out of the shared store and write the records; with all others kept away."""
    if core.sharing is not None:
        # Before the record: whoever obeys it must find nothing old in the store. With the record's own sequence, or a
        # store from before this would fit the log from after it.
        covered = _shared_by(core, state, scope)
        _take_out_shared(core, state, covered, soft=soft, tally=tally, sequence=core.log.head + 1)
    return [core.log.append(record) for record in scope.records(core.name, soft=soft)]


def _candidates(core: CacheCore, state: State, scope: Scope) -> list[tuple[list[Entry], bool]]:
    """Return the tables that a scope covers as a whole (True) or may cover in part; call under the write lock.

    A copy of a table is one step of the interpreter; all that is done entry by entry is left for later.
    """
    found = []
    for slot in core.slots:
        whole = scope.may_cover(slot)
        if whole is not False:
            found.append((list(state.tables[slot.index].values()), bool(whole)))
    return found
