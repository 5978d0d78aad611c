"""Clears: of one cache, of all at once, and of what a tag, a prefix or a key covers.

Why a clear holds when it returns: a whole clear replaces the State, and with it every table and every flight, by one
store. A selective one takes covered flights and fills out under the write lock first; from then on nothing older can be
published, so whatever the snapshot taken under the same lock holds of older entries is all there is to take out.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from cenote import locks
from cenote.audit import AuditEvent, AuditTrail
from cenote.core import CacheCore
from cenote.decide import Verdict
from cenote.entry import SOFTLY_CLEARED, Entry
from cenote.errors import ConfigurationError, ReentrantError
from cenote.invalidation.log import Record, RecordKind
from cenote.keeper import keeper
from cenote.result import ClearResult, Mode
from cenote.scope import Scope
from cenote.state import State
from cenote.tables import Slot

__all__ = [
    "MOST_ITEMS",
    "ClearOrder",
    "Tally",
    "clear_all",
    "clear_cache",
    "clear_scope",
    "hold_all",
    "release_all",
    "run_clear",
    "switch",
]

MOST_ITEMS: Final = 10_000
"""Most identifiers that a result lists."""

CHUNK: Final = 256
"""Entries taken out before the write lock is released for a moment."""


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

    @property
    def room(self) -> int:
        """How many more identifiers it lists."""
        return self.most - len(self.items)

    def list_items(self, names: Sequence[Slot], entries: Iterable[Entry]) -> None:
        """Add identifiers of entries, as far as there is room."""
        for entry in islice(entries, self.room):
            self.items.append(names[entry.slot].identifier(entry.key))


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
    """Clear one cache as a whole, in constant time however many entries it has."""
    if dry_run:
        _count_live(core, tally)
        return
    with core.changing("clear"):
        names = _names(core)
        old = _swap(core, soft=soft)
        tally.entries = len(old.store)
    _finish(core, old, names, soft=soft, tally=tally)


def clear_all(cores: Sequence[CacheCore], *, soft: bool, dry_run: bool, tally: Tally, closing: bool = False) -> None:
    """Clear every cache with one store: no reader finds one cleared and another old.

    With ``closing`` the caches are closed in the same step, so that nothing is stored in between.
    """
    if dry_run:
        for core in cores:
            _count_live(core, tally)
        return
    _refuse_amid_swap(cores[0])
    for core in cores:
        if locks.owned(core.lock):
            raise ReentrantError("clear_all")
        core.check_open()
    hold_all(cores)
    try:
        sequence = cores[0].log.append(Record(kind=RecordKind.CLEAR_ALL, soft=soft))
        swapped = [(core, _names(core), _replacement(core, soft=soft, sequence=sequence)) for core in cores]
        cores[0].root.replace({core.index: new for core, _, (_, new) in swapped})
        if closing:
            for core in cores:
                core.running = False
                core.closed = True
        tally.entries = sum(len(old.store) for _, _, (old, _) in swapped)
    finally:
        release_all(cores)
    for core, names, (old, _) in swapped:
        _finish(core, old, names, soft=soft, tally=tally)


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
            if soft:
                scope.soften(state, core.slots)
            else:
                scope.detach(state, core.slots)
        names = _names(core)
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
    tally.entries += len(taken)
    tally.list_items(names, taken)
    if not dry_run and not soft:
        core.discard(taken)


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
            _refuse_amid_swap(core)
        core.running = on
        if not on:
            old = _swap(core, soft=False)
    if old is not None:
        _finish(core, old, [], soft=False, tally=Tally(most=0))
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


def _new_receipt() -> str:
    """Make the id of a clear; not from the system's generator, whose call would hand the GIL to a busy thread."""
    return f"{random.getrandbits(64):016x}"  # a name, no secret


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


def _names(core: CacheCore) -> list[Slot]:
    """Return how tables name their entries now, whoever gets a name or a table later; call under the write lock."""
    return [Slot(slot.index, slot.keys) for slot in core.slots]


def _count_live(core: CacheCore, tally: Tally) -> None:
    core.check_open()
    core.sweep()
    with core.lock:
        store = core.state.store
        tally.entries += len(store)
        sample = list(islice(_entries_of(store.tables), tally.room))
        names = _names(core)
    tally.list_items(names, sample)


def _entries_of(tables: list[dict[Hashable, Entry]]) -> Iterator[Entry]:
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


def _swap(core: CacheCore, *, soft: bool) -> State:
    """Put a new State in force and return the old one; call under the write lock."""
    _refuse_amid_swap(core)
    sequence = core.log.append(Record(kind=RecordKind.CLEAR, cache=core.name, soft=soft))
    old, new = _replacement(core, soft=soft, sequence=sequence)
    core.install(new)
    return old


def _finish(core: CacheCore, old: State, names: list[Slot], *, soft: bool, tally: Tally) -> None:
    """List identifiers of what a whole clear took, and hand the rest to the keeper."""
    if soft:
        with core.lock:
            sample = list(islice(_entries_of(old.tables), tally.room))
        tally.list_items(names, sample)
        return
    # Nobody publishes into a State that is not in force, so its tables stand still.
    tally.list_items(names, _entries_of(old.tables))
    if len(old.store):
        keeper.bury(old.store.dismantle(), len(old.store))


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
