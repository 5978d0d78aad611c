"""Clears: of one cache, of all at once, and of what a tag, a prefix or a key covers.

Why a clear holds when it returns: a whole clear replaces the State, and with it every table and every flight, by one
store. A selective one takes covered flights and fills out under the write lock first; from then on nothing older can be
published, so whatever the snapshot taken under the same lock holds of older entries is all there is to take out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, Literal

from cenote import locks
from cenote.audit import AuditEvent, AuditTrail
from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.entry import Entry
from cenote.errors import ConfigurationError, ReentrantError
from cenote.invalidation.log import Record, RecordKind
from cenote.keeper import keeper
from cenote.result import ClearResult
from cenote.scope import Scope
from cenote.state import State

__all__ = [
    "MOST_ITEMS",
    "ClearOrder",
    "Tally",
    "clear_all",
    "clear_cache",
    "clear_scope",
    "run_clear",
    "switch_off",
]

MOST_ITEMS: Final = 10_000
"""Most identifiers that a result lists."""

CHUNK: Final = 256
"""Entries taken out before the write lock is released for a moment."""

SOFTLY_CLEARED: Final = -1
"""The birth of an entry that a selective soft clear marked: below every soft floor."""


@dataclass
class Tally:
    """What a clear took: how many entries, and the identifiers of some.

    Attributes:
        entries: How many live entries.
        items: Identifiers, at most ``most``.
        most: How many to list.
    """

    most: int
    entries: int = 0
    items: list[str] = field(default_factory=list)

    def list_items(self, core: CacheCore, entries: Iterable[Entry]) -> None:
        """Add identifiers of entries, as far as there is room."""
        for entry in islice(entries, self.most - len(self.items)):
            self.items.append(core.slots[entry.slot].identifier(entry.key))


@dataclass(frozen=True, kw_only=True)
class ClearOrder:
    """How a clear is asked for; see ``Cache.clear``."""

    mode: Literal["hard", "soft"] = "hard"
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
    """Clear one cache as a whole, in constant time however many entries it has."""
    if dry_run:
        _count_live(core, tally)
        return
    with core.changing("clear"):
        old = _swap(core, soft=soft, record=True)
        tally.entries = len(old.store)
    _finish(core, old, soft=soft, tally=tally)


def clear_all(cores: Sequence[CacheCore], *, soft: bool, dry_run: bool, tally: Tally) -> None:
    """Clear every cache with one store: no reader finds one cleared and another old."""
    if dry_run:
        for core in cores:
            _count_live(core, tally)
        return
    _refuse_amid_swap(cores[0])
    with ExitStack() as stack:
        for core in cores:
            if locks.owned(core.lock):
                raise ReentrantError("clear_all")
            core.check_open()
        for core in cores:
            stack.enter_context(core.lock)
        sequence = cores[0].log.append(Record(kind=RecordKind.CLEAR_ALL, soft=soft))
        swapped = [(core, _replacement(core, soft=soft, sequence=sequence)) for core in cores]
        cores[0].root.replace({core.index: new for core, (old, new) in swapped})
        tally.entries = sum(len(old.store) for _, (old, _) in swapped)
    for core, (old, _) in swapped:
        _finish(core, old, soft=soft, tally=tally)


def clear_scope(core: CacheCore, scope: Scope, *, soft: bool, dry_run: bool, tally: Tally) -> None:
    """Clear what a scope covers.

    Args:
        core: The cache.
        scope: What is covered.
        soft: Whether to mark entries stale only.
        dry_run: Whether to count only.
        tally: Where to count.
    """
    with core.changing("clear"):
        state = core.state
        sequence = core.log.head
        if not dry_run:
            for record in scope.records(core.name, soft=soft):
                sequence = core.log.append(record)
            # A soft clear too: what a load from before it brings would be stored as fresh.
            scope.detach(state, core.slots)
        candidates = _candidates(core, state, scope)
    covered = [entry for entry, sure in candidates if sure or scope.covers(core.slots[entry.slot], entry.key)]
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
    tally.entries += len(taken)
    tally.list_items(core, taken)
    if not dry_run and not soft:
        core.discard(taken)


def switch_off(core: CacheCore) -> None:
    """Empty a cache and have it neither serve nor store until it is switched on again."""
    with core.changing("switching off"):
        _refuse_amid_swap(core)
        core.running = False
        old = _swap(core, soft=False, record=True)
    _finish(core, old, soft=False, tally=Tally(most=0))


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
        clear_id=secrets.token_hex(8),
    )
    begin = time.perf_counter()
    try:
        clear(tally)
    except Exception as error:
        message = f"Failed to clear {what}: {error}"
        audit.record(replace(event, status="error", duration=time.perf_counter() - begin, message=message))
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


def _count_live(core: CacheCore, tally: Tally) -> None:
    core.check_open()
    core.sweep()
    with core.lock:
        store = core.state.store
        tally.entries += len(store)
        sample = list(islice(_entries_of(store.tables), tally.most - len(tally.items)))
    tally.list_items(core, sample)


def _entries_of(tables: list[Any]) -> Iterable[Entry]:
    for table in tables:
        yield from table.values()


def _replacement(core: CacheCore, *, soft: bool, sequence: int) -> tuple[State, State]:
    """Make the State that takes the present one's place; call under the write lock."""
    state = core.state
    # Exact counts: what has ended unseen is no live entry. The keeper keeps this backlog small.
    ended = state.store.sweep_out(core.now())
    core.counts.expirations += len(ended)
    core.counts.invalidations += len(state.store)
    return state, state.softened(sequence) if soft else State(core.new_store())


def _refuse_amid_swap(core: CacheCore) -> None:
    """Raise ReentrantError amid another cache's swap in this thread, which would put the old State back in force."""
    if locks.owned(core.root.lock):
        raise ReentrantError("clear")


def _swap(core: CacheCore, *, soft: bool, record: bool) -> State:
    """Put a new State in force and return the old one; call under the write lock."""
    _refuse_amid_swap(core)
    sequence = core.log.append(Record(kind=RecordKind.CLEAR, cache=core.name, soft=soft)) if record else core.log.head
    old, new = _replacement(core, soft=soft, sequence=sequence)
    core.install(new)
    return old


def _finish(core: CacheCore, old: State, *, soft: bool, tally: Tally) -> None:
    """List identifiers of what a whole clear took, and hand the rest to the keeper."""
    if soft:
        with core.lock:
            sample = list(islice(_entries_of(old.tables), tally.most - len(tally.items)))
        tally.list_items(core, sample)
        return
    # Nobody publishes into a State that is not in force, so its tables stand still.
    tally.list_items(core, _entries_of(old.tables))
    if len(old.store):
        keeper.bury(old.store.dismantle(), len(old.store))


def _candidates(core: CacheCore, state: State, scope: Scope) -> list[tuple[Entry, bool]]:
    """Return the entries that a scope covers for sure (True) or may cover; call under the write lock."""
    found = [(entry, True) for entry in state.store.tagged(scope.tags)]
    tagged = {entry for entry, _ in found}
    for slot in core.slots:
        whole = scope.may_cover(slot)
        if whole is not False:
            found += [
                (entry, bool(whole)) for entry in state.store.entries(slot.index) if not tagged or entry not in tagged
            ]
    return found
