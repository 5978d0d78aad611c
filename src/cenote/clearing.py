"""Clears: of one cache, of all at once, and of what a tag, a prefix or a key covers.

Why a clear holds when it returns: a whole clear replaces the State, and with it every table and every flight, by one
store. A selective one takes covered flights and fills out under the write lock first; from then on nothing older can be
published, so whatever the snapshot taken under the same lock holds of older entries is all there is to take out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Final

from cenote import locks
from cenote.audit import AuditEvent, AuditTrail
from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.entry import SOFTLY_CLEARED, Entry
from cenote.errors import ClearFailedError, ConfigurationError, ReentrantError
from cenote.invalidation.log import Record, RecordKind
from cenote.result import ClearResult, Mode
from cenote.scope import Scope
from cenote.state import State
from cenote.swapping import (
    Tally,
    entries_of,
    finish,
    hold_all,
    names_of,
    refuse_amid_swap,
    release_all,
    swap,
    swap_all,
)

__all__ = ["MOST_ITEMS", "ClearOrder", "clear_all", "clear_cache", "clear_scope", "run_clear", "switch"]

MOST_ITEMS: Final = 10_000
"""Most identifiers that a result lists."""

CHUNK: Final = 256
"""Entries taken out before the write lock is released for a moment."""


@dataclass(frozen=True, kw_only=True)
class ClearOrder:
    """How a clear is asked for; see ``Cache.clear``."""

    mode: Mode = "hard"
    dry_run: bool = False
    max_items: int = 100
    reason: str | None = None
    actor: str | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError when it cannot be carried out."""
        if self.mode not in ("hard", "soft"):
            raise ConfigurationError(f"mode must be 'hard' or 'soft', not {self.mode!r}")
        most = self.max_items
        if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= MOST_ITEMS:
            raise ConfigurationError(f"max_items must be a whole number from 0 to {MOST_ITEMS}, not {most!r}")

    @property
    def soft(self) -> bool:
        """Whether entries only turn stale."""
        return self.mode == "soft"


def clear_cache(core: CacheCore, *, soft: bool, dry_run: bool, tally: Tally) -> None:
    """Clear one cache as a whole, in constant time however many entries it has.

    Raises:
        ClearFailedError: Other processes may not have learned of it; this one is cleared.
    """
    if dry_run:
        _count_live(core, tally)
        return
    _tell(core, partial(_clear_here, core, soft=soft, tally=tally), tally)


def _clear_here(core: CacheCore, *, soft: bool, tell: bool, tally: Tally) -> int:
    """Clear one cache in this process, and return the sequence of the record."""
    with _shutting_out(core, "clear", tell=tell), core.changing("clear"):
        names = names_of(core)
        if tell:
            core.obey()
            tally.entries += _entries_elsewhere(core)
        old, sequence = swap(core, soft=soft, tell=tell)
        tally.entries += len(old.store)
    finish(core, old, names, soft=soft, tally=tally)
    return sequence


def clear_all(cores: Sequence[CacheCore], *, soft: bool, dry_run: bool, tally: Tally) -> None:
    """Clear every cache with one store: no reader finds one cleared and another old.

    Raises:
        ClearFailedError: Other processes may not have learned of it; this one is cleared.
    """
    if dry_run:
        for core in cores:
            _count_live(core, tally)
        return
    refuse_amid_swap(cores[0])
    for core in cores:
        if locks.owned(core.lock):
            raise ReentrantError("clear_all")
        core.check_open()
    _tell(cores[0], partial(_clear_all_here, cores, soft=soft, tally=tally), tally)


def _clear_all_here(cores: Sequence[CacheCore], *, soft: bool, tell: bool, tally: Tally) -> int:
    """Clear every cache in this process, and return the sequence of the record."""
    sequence = None
    with _shutting_out(cores[0], "clear_all", tell=tell):
        hold_all(cores)
        try:
            if tell:
                for core in cores:
                    core.obey()
                    tally.entries += _entries_elsewhere(core)
                sequence = cores[0].log.append(Record(kind=RecordKind.CLEAR_ALL, soft=soft))
            swapped = swap_all(cores, soft=soft, sequence=sequence)
            tally.entries += sum(len(old.store) for _, _, old in swapped)
        finally:
            release_all(cores)
    for core, names, old in swapped:
        finish(core, old, names, soft=soft, tally=tally)
    return sequence or 0


def _shutting_out(core: CacheCore, action: str, *, tell: bool) -> AbstractContextManager[Any]:
    """Return what keeps other processes away while they are told of something."""
    return core.exclusive(action) if tell else nullcontext()


def _tell(core: CacheCore, clear: Callable[..., int], tally: Tally) -> None:
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
    except ClearFailedError as error:
        tally.entries = 0
        tally.items.clear()
        clear(tell=False)
        if error.level == "none":
            error.level = "process"
        raise
    core.log.confirm(sequence)


def _entries_elsewhere(core: CacheCore) -> int:
    """Return how many entries other processes hold; with all of them kept from changing that."""
    return 0 if core.log.census is None else core.log.census.entries_elsewhere(core.name)


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
    if dry_run:
        _clear_scope_here(core, scope, soft=soft, dry_run=True, tell=False, tally=tally)
        return

    sequences: list[int] = []

    def clear(*, tell: bool) -> int:
        sequences[:] = _clear_scope_here(core, scope, soft=soft, dry_run=False, tell=tell, tally=tally)
        return sequences[-1] if sequences else 0

    _tell(core, clear, tally)
    if core.log.census is not None:
        tally.entries += sum(map(core.log.census.removed_elsewhere, reversed(sequences)))


def _clear_scope_here(
    core: CacheCore, scope: Scope, *, soft: bool, dry_run: bool, tell: bool, tally: Tally
) -> list[int]:
    """Clear what a scope covers in this process, and return the sequences of the records written."""
    sequences: list[int] = []
    with _shutting_out(core, "clear", tell=tell), core.changing("clear"):
        state = core.obey()
        sequence = core.birth(state) + 1
        if not dry_run:
            if tell:
                sequences += [core.log.append(record) for record in scope.records(core.name, soft=soft)]
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
                core.counts.invalidations += 1
                if soft:
                    entry.birth = SOFTLY_CLEARED
                else:
                    state.store.remove(entry)
            core.note_size()
    tally.entries += len(taken)
    tally.list_items(names, taken)
    if not dry_run and not soft:
        core.discard(taken)
    return sequences


def switch(core: CacheCore, wanted: Callable[[], bool]) -> bool | None:
    """Switch a cache on or off; one that is off is empty and neither serves nor stores.

    Args:
        core: The cache.
        wanted: Whether it is to be on; asked under the write lock, so that of two switches the later one wins.

    Returns:
        Whether it is on now; None when it was so before.
    """
    old = None
    with core.changing("switching"):
        on = wanted()
        if on == core.running:
            return None
        if not on:
            refuse_amid_swap(core)
        core.running = on
        if not on:
            # Only this process is switched, so nobody else is told.
            old, _ = swap(core, soft=False, tell=False)
    if old is not None:
        finish(core, old, [], soft=False, tally=Tally(most=0))
    return on


def run_clear(
    core: CacheCore,
    audit: AuditTrail,
    clear: Callable[[Tally], None],
    *,
    what: str,
    order: ClearOrder,
    action: str = "clear",
    service: str | None = None,
) -> ClearResult:
    """Run a clear, say what it did, and write it into the audit trail, failures too.

    Args:
        core: A cache of the manager, for clock and log.
        audit: The trail.
        clear: Does it.
        what: What is cleared, as in "cache for service: etherforce".
        order: How it was asked for.
        action: The audit trail's name for it.
        service: The service, for the audit trail.
    """
    tally = Tally(most=order.max_items)
    event = AuditEvent(
        action=action,
        service=service,
        mode=order.mode,
        level=core.log.level,
        reason=order.reason,
        actor=order.actor,
        clear_id=_new_receipt(),
    )
    begin = time.perf_counter()
    try:
        clear(tally)
    except Exception as error:
        message = f"Failed to clear {what}: {error}"
        level = error.level if isinstance(error, ClearFailedError) else "none"
        failed = replace(event, status="error", level=level, entries=tally.entries, message=message)
        audit.record(replace(failed, duration=time.perf_counter() - begin))
        raise
    duration = time.perf_counter() - begin
    if order.dry_run:
        message = f"Would {'mark stale' if order.soft else 'clear'} {what}"
    elif order.soft:
        message = f"Successfully marked stale: {what}"
    else:
        message = f"Successfully cleared {what}"
    if not order.dry_run:
        audit.record(replace(event, entries=tally.entries, duration=duration, message=message))
    return ClearResult(
        status="success",
        message=message,
        entries_cleared=tally.entries,
        cleared_items=tuple(tally.items),
        items_truncated=tally.entries > len(tally.items),
        level=core.log.level,
        clear_id=event.clear_id or "",
        timestamp=datetime.fromtimestamp(core.clock.time(), UTC),
        duration=duration,
        mode=order.mode,
        dry_run=order.dry_run,
    )


def _new_receipt() -> str:
    """Make the id of a clear; not from the system's generator, whose call would hand the GIL to a busy thread."""
    return f"{random.getrandbits(64):016x}"  # a name, no secret


def _count_live(core: CacheCore, tally: Tally) -> None:
    core.check_open()
    core.sweep()
    with core.lock:
        store = core.obey().store
        tally.entries += _entries_elsewhere(core)
        tally.entries += len(store)
        sample = list(islice(entries_of(store.tables), tally.room))
        names = names_of(core)
    tally.list_items(names, sample)


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
