"""The families of metrics that Prometheus is given: their names, kinds, labels and meanings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["CACHE_FIGURES", "CACHE_LOADS", "COMMON", "FAMILIES", "NETWORK", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """One family of metrics.

    Attributes:
        name: Its name, without what its kind puts behind it.
        kind: "counter", "gauge" or "histogram".
        text: What it says, in one sentence.
        figure: The attribute that holds it.
        labels: Its labels.
    """

    name: str
    kind: str
    text: str
    figure: str = ""
    labels: tuple[str, ...] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind == "histogram":
            return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
        return (f"{self.name}_total",) if self.kind == "counter" else (self.name,)


def _of_caches(name: str, kind: str, text: str, figure: str = "") -> Family:
    return Family(f"cenote_cache_{name}", kind, text, figure or name, ("cache",))


CACHE_FIGURES: Final = (
    _of_caches("hits", "counter", "Reads answered from the cache."),
    _of_caches("misses", "counter", "Reads that found nothing to serve."),
    _of_caches("evictions", "counter", "Entries that left for lack of room."),
    _of_caches("expirations", "counter", "Entries that left because their time was over."),
    _of_caches("invalidations", "counter", "Entries that were cleared or invalidated."),
    _of_caches("loads", "counter", "Loads that yielded a value."),
    _of_caches("load_failures", "counter", "Loads that failed."),
    _of_caches("coalesced", "counter", "Reads that waited for a load already under way."),
    _of_caches("stale_served", "counter", "Reads answered with a stale value."),
    _of_caches("load_seconds", "counter", "Seconds that loads took."),
    _of_caches("entries", "gauge", "Entries.", "current_size"),
    _of_caches("max_entries", "gauge", "The most entries there may be.", "max_size"),
    _of_caches("bytes", "gauge", "Bytes of the entries, as the weigher counts them."),
    # An estimate by the mean load time, which may fall: no counter.
    _of_caches("saved_seconds", "gauge", "Seconds of loading that hits saved."),
)
"""What is read from the statistics of each cache."""

CACHE_LOADS: Final = _of_caches("load_duration_seconds", "histogram", "How long loads took that yielded a value.")
"""How long the loads of each cache took."""

COMMON: Final = {
    "processes": Family("cenote_processes", "gauge", "Processes that share the caches."),
    "enabled": Family("cenote_enabled", "gauge", "Whether caching is switched on."),
    "clears": Family("cenote_clear_duration_seconds", "histogram", "How long clears took.", labels=("level", "result")),
}
"""What is said of all caches together."""

NETWORK: Final = {
    "held": Family("cenote_lease_held", "gauge", "Whether this machine holds a lease."),
    "lease": Family("cenote_lease_remaining_seconds", "gauge", "Seconds that the lease still lasts; 0 without one."),
    "renewals": Family("cenote_lease_renewals", "counter", "How often the lease was renewed."),
    "failures": Family("cenote_lease_renewal_failures", "counter", "How often it could not be renewed."),
    "members": Family("cenote_members", "gauge", "Machines that share the caches."),
    "lapsed": Family(
        "cenote_members_lapsed", "counter", "How often a clear waited for a machine until its lease was over."
    ),
    "waits": Family(
        "cenote_acknowledgement_wait_seconds",
        "histogram",
        "How long invalidations waited for other machines to acknowledge them.",
    ),
    "calls": Family("cenote_store_round_trips", "counter", "How often the server was asked."),
    "call_failures": Family("cenote_store_errors", "counter", "How often it did not answer, or refused."),
    "breakers": Family("cenote_breaker_open", "gauge", "Processes that take the server for out of reach."),
    "owed": Family("cenote_clears_owed", "gauge", "Invalidations that could not be written at the server yet."),
}
"""What is said where caches are shared over a server."""

FAMILIES: Final = (*CACHE_FIGURES, CACHE_LOADS, *COMMON.values(), *NETWORK.values())
"""All of them."""
