"""Figures: what a cache counts, for itself and for all processes that share it."""

from __future__ import annotations

from dataclasses import replace

from cenote.copying import Copier
from cenote.entry import Entry, ParticularEntry
from cenote.errors import ClearFailedError
from cenote.loadtimes import LoadTimes
from cenote.refills import RefillStatus, packed_tally, with_tallies
from cenote.state import NOT_SHARED, State
from cenote.stats import CacheStats, Counts
from cenote.tables import GIL, Slot

__all__ = ["Figures"]


class Figures(Copier):
    """The part of a cache's core that counts."""

    def count_hit(self, slot: Slot, state: State, entry: Entry) -> None:
        """Count a hit that no generated code counts, and let the eviction policy know of it."""
        if isinstance(entry, ParticularEntry):
            entry.used = self.now()
        policy = state.store.policy
        if policy is not None and entry.freq < policy.touch_cap:
            entry.freq += 1
        if state.touch is not None:
            state.touch(entry)
        self.count_slot_hit(slot)

    def count_miss(self, slot: Slot) -> None:
        """Count a read that is not served."""
        if GIL:
            slot.misses += 1.0
        else:
            with self.lock:
                slot.misses += 1.0

    def count_stale(self) -> None:
        """Count a stale value handed out."""
        with self.lock:
            self.counts.stale_served += 1

    def live(self) -> int:
        """Return how many live entries there are, in the shared store or in this process's memory."""
        state = self.current()
        if self.sharing is not None and state.generation != NOT_SHARED:
            return self.sharing.count(state)[0]
        self.sweep()
        return len(state.store)

    def report(self) -> None:
        """Publish this process's figures for the others' sums."""
        census = self.log.counting
        if census is not None:
            census.report(self.name, self.own_stats())
            pace = self.pace
            census.report_refill(self.name, 0 if pace is None else packed_tally(pace.status()))
            with self.lock:
                self.note_size()

    def stats(self) -> CacheStats:
        """Return the statistics, of all processes that share the cache."""
        state = self.current()
        total = self.counted()
        if self.log.counting is None or self.sharing is None or state.generation == NOT_SHARED:
            return total
        entries, size = self.sharing.count(state)
        return replace(total, current_size=entries, max_size=None, bytes=None if self.far else size)

    def counted(self) -> CacheStats:
        """Return what all processes that share the cache counted; of entries, those in their memory only."""
        census = self.log.counting
        if census is None:
            return self.own_stats()
        self.report()
        return census.total(self.name, self.own_stats())

    def refill_status(self) -> RefillStatus | None:
        """Say how the refill behind the last paced clear goes on in all processes; None where this one saw none."""
        pace = self.pace
        if pace is None:
            return None
        status, census = pace.status(), self.log.counting
        try:
            return status if census is None else with_tallies(status, census.refills_elsewhere(self.name))
        except ClearFailedError:
            return status  # what is shared was lost a moment ago

    def restart_counts(self) -> None:
        """Count from nothing."""
        self.counts = Counts()
        for slot in self.slots:
            slot.restart_counts()

    def own_stats(self) -> CacheStats:
        """Return what this process counted."""
        self.sweep()
        with self.lock:
            counts = self.counts
            slots = list(self.slots)
            store = self.state.store
            for slot in slots:
                slot.value_hits()
            return CacheStats(
                hits=sum(slot.all_hits for slot in slots),
                misses=int(sum(slot.misses for slot in slots)),
                current_size=len(store),
                max_size=self.options.max_entries,
                evictions=counts.evictions,
                expirations=counts.expirations,
                invalidations=counts.invalidations,
                loads=counts.loads,
                load_failures=counts.load_failures,
                coalesced=counts.coalesced,
                stale_served=counts.stale_served,
                bytes=store.size if self.options.weigher is not None else None,
                load_seconds=sum(slot.load_seconds for slot in slots),
                saved_seconds=sum(slot.saved_seconds for slot in slots),
                load_times=LoadTimes.of(counts.load_times),
            )
