"""Clearing a cache: all of it, or what tags, a prefix or a function cover."""

from __future__ import annotations

from collections.abc import Iterable

from cenote.audit import AuditTrail
from cenote.clearing import ClearOrder, clear_cache, run_clear
from cenote.core import CacheCore
from cenote.errors import ConfigurationError
from cenote.invalidation.log import LET_GO
from cenote.refills import Refill, RefillStatus
from cenote.result import ClearResult, Mode
from cenote.scope import Scope
from cenote.selecting import clear_scope
from cenote.swapping import Tally
from cenote.tables import Slot
from cenote.terms import check_tags
from cenote.view import CacheView

__all__ = ["Clearable"]


class Clearable(CacheView):
    """The part of a cache that takes entries out, many at once."""

    def __init__(self, core: CacheCore, audit: AuditTrail) -> None:
        """Clear a core, and write that into a trail."""
        super().__init__(core)
        self._audit = audit

    def invalidate_tags(self, *tags: str) -> int:
        """Remove every entry that carries one of the tags; return how many live ones there were."""
        return self._clear_scope(
            Scope(tags=check_tags(tags)), ClearOrder(max_items=0, tags=tuple(sorted(tags)))
        ).entries_cleared

    def clear(
        self,
        *,
        mode: Mode = "hard",
        dry_run: bool = False,
        prefix: str | None = None,
        tags: Iterable[str] | None = None,
        max_items: int = 100,
        reason: str | None = None,
        actor: str | None = None,
        clear_id: str | None = None,
        refill: Refill | None = None,
    ) -> ClearResult:
        """Remove every entry, or those that a prefix or tags cover.

        When it returns, no read that starts afterwards is served anything whose load began before the clear.

        Args:
            mode: "soft" only marks entries stale: they may be served while one caller reloads each.
            dry_run: Whether only to say what a clear would take.
            prefix: Only entries whose identifier begins so.
            tags: Only entries that carry one of these; together with a prefix, what either covers.
            max_items: How many identifiers to list, up to 10,000.
            reason: Why, for the audit trail.
            actor: Who, for the audit trail.
            refill: How loads behind a hard clear of the whole cache are let through; None: as always.
            clear_id: The receipt, where the caller wants to know it beforehand; one is made when not given.

        Returns:
            What was done.

        Raises:
            ConfigurationError: An argument cannot be used.
            ReentrantError: A signal handler or a finalizer called it amid a change of this very cache.
        """
        order = ClearOrder(
            mode=mode,
            dry_run=dry_run,
            max_items=max_items,
            reason=reason,
            actor=actor,
            clear_id=clear_id,
            refill=refill,
            tags=() if tags is None else tuple(sorted(check_tags(tags))),
            prefix=prefix,
        )
        if prefix is None and tags is None:
            return run_clear(
                self._core,
                self._audit,
                lambda tally: clear_cache(self._core, soft=order.soft, dry_run=dry_run, tally=tally),
                what=self.title,
                order=order,
                service=self.name,
            )
        if prefix is not None and not isinstance(prefix, str):
            raise ConfigurationError(f"prefix must be a string, not {prefix!r}")
        return self._clear_scope(Scope(tags=frozenset(order.tags), prefix=prefix), order)

    @property
    def refill(self) -> RefillStatus | None:
        """How the refill behind the last paced clear goes on, or went, in all processes of this machine.

        What others do is what they last reported. None where this process has seen no such clear.
        """
        return self._core.refill_status()

    def stop_refill(self) -> bool:
        """Let all loads through from now on, in all processes and machines that share the cache.

        Returns:
            Whether any were held back, as far as this machine's processes have reported.

        Raises:
            ClearFailedError: Others may not have learned of it; this process lets all loads through.
        """
        core = self._core
        status = core.refill_status()
        core.end_pace("stopped")
        if core.log.word is not None:
            clear_scope(core, Scope(tags=frozenset(LET_GO)), soft=False, dry_run=False, tally=Tally(most=0))
            core.report()
        return status is not None and status.running

    def _clear_scope(self, scope: Scope, order: ClearOrder) -> ClearResult:
        return run_clear(
            self._core,
            self._audit,
            lambda tally: clear_scope(self._core, scope, soft=order.soft, dry_run=order.dry_run, tally=tally),
            what=f"{self.title} ({scope})",
            order=order,
            service=self.name,
            scope=str(scope),
        )

    def _clear_slot(self, slot: Slot) -> None:
        """Forget every call of one function."""
        self._clear_scope(Scope(table=slot), ClearOrder(max_items=0))
