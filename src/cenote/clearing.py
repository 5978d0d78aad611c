"""Clears: of one cache, and of all at once.

Why a clear holds when it returns: it replaces the State, and with it every table and every flight, by one store.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from cenote import locks
from cenote.audit import AuditEvent, AuditTrail
from cenote.core import CacheCore
from cenote.errors import ClearFailedError, ConfigurationError, ReentrantError
from cenote.invalidation.log import Record, RecordKind
from cenote.refills import Refill, RefillOrder
from cenote.result import ClearResult, Mode
from cenote.swapping import Tally, finish, hold_all, names_of, refuse_amid_swap, release_all, swap, swap_all
from cenote.telling import clear_far, count_live, entries_elsewhere, shutting_out, tell_others

__all__ = ["MOST_ITEMS", "ClearOrder", "clear_all", "clear_cache", "run_clear", "switch"]

MOST_ITEMS: Final = 10_000
"""Most identifiers that a result lists."""


@dataclass(frozen=True, kw_only=True)
class ClearOrder:
    """How a clear is asked for; see ``Cache.clear``."""

    mode: Mode = "hard"
    dry_run: bool = False
    max_items: int = 100
    reason: str | None = None
    actor: str | None = None
    clear_id: str | None = None
    tags: tuple[str, ...] = ()
    prefix: str | None = None
    refill: Refill | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError when it cannot be carried out."""
        if self.mode not in ("hard", "soft"):
            raise ConfigurationError(f"mode must be 'hard' or 'soft', not {self.mode!r}")
        refill = self.refill
        if refill is not None and not isinstance(refill, Refill):
            raise ConfigurationError(f"refill must be a Refill, not {refill!r}")
        if refill is not None and (self.soft or self.dry_run or self.tags or self.prefix is not None):
            raise ConfigurationError(
                "refill goes with a hard clear of a whole cache: leave mode, tags, prefix and dry_run out"
            )
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
        count_live(core, tally)
        return
    if core.far:
        # What the record says of a refill is obeyed here as everywhere: before any load finds the new State.
        clear_far(core, [Record(kind=RecordKind.CLEAR, cache=core.name, soft=soft, refill=tally.refill)], tally)
        return
    tell_others(core, partial(_clear_here, core, soft=soft, tally=tally), tally)


def _clear_here(core: CacheCore, *, soft: bool, tell: bool, tally: Tally) -> int:
    """Clear one cache in this process, and return the sequence of the record."""
    with shutting_out(core, "clear", tell=tell), core.changing("clear"):
        names = names_of(core)
        if tell:
            core.obey()
            _count_elsewhere(core, tally)
        old, sequence = swap(core, soft=soft, tell=tell, refill=tally.refill)
        if not soft:
            core.note_clear(sequence, tally.clear_id)
            if tally.refill is not None:
                core.begin_refill(tally.refill, old)
        tally.entries += len(old.store) if core.keeps_originals else 0
        if core.sharing is not None and tell:
            core.sharing.mark(sequence)
    finish(core, old, names, soft=soft, tally=tally)
    return sequence


def clear_all(cores: Sequence[CacheCore], *, soft: bool, dry_run: bool, tally: Tally) -> None:
    """Clear every cache with one store: no reader finds one cleared and another old.

    Raises:
        ClearFailedError: Other processes may not have learned of it; this one is cleared.
    """
    if dry_run:
        for core in cores:
            count_live(core, tally)
        return
    if cores[0].far:
        clear_far(cores[0], [Record(kind=RecordKind.CLEAR_ALL, soft=soft, refill=tally.refill)], tally)
        return
    refuse_amid_swap(cores[0])
    for core in cores:
        if locks.owned(core.lock):
            raise ReentrantError("clear_all")
        core.check_open()
    tell_others(cores[0], partial(_clear_all_here, cores, soft=soft, tally=tally), tally)


def _clear_all_here(cores: Sequence[CacheCore], *, soft: bool, tell: bool, tally: Tally) -> int:
    """Clear every cache in this process, and return the sequence of the record."""
    sequence = None
    with shutting_out(cores[0], "clear_all", tell=tell):
        hold_all(cores)
        try:
            if tell:
                for core in cores:
                    core.obey()
                    _count_elsewhere(core, tally)
                sequence = cores[0].log.append(Record(kind=RecordKind.CLEAR_ALL, soft=soft, refill=tally.refill))
            swapped = swap_all(cores, soft=soft, sequence=sequence)
            for core, _, old in swapped if not soft else ():
                core.note_clear(sequence or 0, tally.clear_id)
                if tally.refill is not None:
                    core.begin_refill(tally.refill, old)
            tally.entries += sum(len(old.store) for core, _, old in swapped if core.keeps_originals)
            if cores[0].sharing is not None and sequence is not None:
                cores[0].sharing.mark(sequence)
        finally:
            release_all(cores)
    for core, names, old in swapped:
        finish(core, old, names, soft=soft, tally=tally)
    return sequence or 0


def _count_elsewhere(core: CacheCore, tally: Tally) -> None:
    """Count, and list, what a whole clear takes outside of this process's memory."""
    count = entries_elsewhere(core)
    tally.entries += count
    if core.sharing is not None:
        core.counts.invalidations += count
        tally.items += core.sharing.sample(core.state, tally.room)


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
            core.end_pace("switchedOff")
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
    scope: str | None = None,
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
        scope: What it is restricted to, in words.
    """
    clear_id = order.clear_id or _new_receipt()
    refill = None if order.refill is None else RefillOrder(order.refill, clear_id, core.clock.time())
    tally = Tally(most=order.max_items, clear_id=clear_id, refill=refill)
    event = AuditEvent(
        action=action,
        service=service,
        mode=order.mode,
        level=core.log.level,
        reason=order.reason,
        actor=order.actor,
        clear_id=clear_id,
        tags=order.tags,
        prefix=order.prefix,
    )
    register, note = audit.register, None
    if not order.dry_run:
        note = register.begin(
            clear_id,
            service=service,
            everything=action == "clear_all",
            mode=order.mode,
            scope=scope,
            actor=order.actor,
            reason=order.reason,
        )
    observed = nullcontext(_nobody) if core.observer is None or order.dry_run else core.observer.clear(event)
    begin = time.perf_counter()
    with observed as tell:
        try:
            with core.log.listening(partial(register.acknowledged, note) if note is not None else None):
                clear(tally)
        except Exception as error:
            message = f"Failed to clear {what}: {error}"
            level = error.level if isinstance(error, ClearFailedError) else "none"
            took = time.perf_counter() - begin
            if note is not None:
                register.end(note, success=False, level=level, entries=tally.entries, duration=took, message=message)
            failed = replace(event, status="error", level=level, entries=tally.entries, duration=took, message=message)
            tell(audit.record(failed))
            raise
        duration = time.perf_counter() - begin
        tell(replace(event, entries=tally.entries, duration=duration))
    if order.dry_run:
        message = f"Would {'mark stale' if order.soft else 'clear'} {what}"
        if not tally.exact:
            message += "; that is the least, since only the memory of the process that was asked is counted"
    elif order.soft:
        message = f"Successfully marked stale: {what}"
    else:
        message = f"Successfully cleared {what}"
    if not order.dry_run:
        audit.record(replace(event, entries=tally.entries, duration=duration, message=message))
    if note is not None:
        for name in core.log.members.acknowledged:
            register.acknowledged(note, name)
        for name in core.log.members.lapsed:
            register.acknowledged(note, name, lapsed=True)
        level = core.log.level
        register.end(note, success=True, level=level, entries=tally.entries, duration=duration, message=message)
    return ClearResult(
        status="success",
        message=message,
        entries_cleared=tally.entries,
        cleared_items=tuple(tally.items),
        items_truncated=tally.entries > len(tally.items),
        level=core.log.level,
        clear_id=clear_id,
        timestamp=datetime.fromtimestamp(core.clock.time(), UTC),
        duration=duration,
        mode=order.mode,
        dry_run=order.dry_run,
        count_exact=tally.exact,
        acknowledged=() if order.dry_run else core.log.members.acknowledged,
        lapsed=() if order.dry_run else core.log.members.lapsed,
    )


def _nobody(event: AuditEvent) -> None:
    """Tell nobody."""


def _new_receipt() -> str:
    """Make the id of a clear; not from the system's generator, whose call would hand the GIL to a busy thread."""
    return f"{random.getrandbits(64):016x}"  # a name, no secret
