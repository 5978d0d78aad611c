"""The figures of the caches as observable instruments: they are read when they are collected."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.metrics import CallbackOptions, Observation

from cenote.errors import CenoteError
from cenote.stats import CacheStats
from cenote.telemetry.figures import figures_of
from cenote.telemetry.labels import label_of
from cenote.telemetry.otel import attributes as names

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

    from cenote import CacheManager
    from cenote.meters import Meters

__all__ = [
    "CACHE_INSTRUMENTS",
    "MANAGER_INSTRUMENTS",
    "NETWORK_INSTRUMENTS",
    "Figures",
    "Instrument",
    "Instruments",
]


@dataclass(frozen=True, slots=True)
class Instrument:
    """One observable instrument.

    Attributes:
        kind: "counter", "up_down_counter" or "gauge".
        unit: Its unit, in UCUM.
        text: What it counts.
        read: Returns its figure; None where there is none.
    """

    kind: str
    unit: str
    text: str
    read: Callable[[Any], float | None]


def _figure(name: str) -> Callable[[CacheStats], float | None]:
    return lambda stats: getattr(stats, name)


CACHE_INSTRUMENTS: Final = {
    "cenote.cache.hits": Instrument("counter", "{read}", "Reads served from the cache.", _figure("hits")),
    "cenote.cache.misses": Instrument("counter", "{read}", "Reads that were not.", _figure("misses")),
    "cenote.cache.evictions": Instrument("counter", "{entry}", "Entries that left to make room.", _figure("evictions")),
    "cenote.cache.expirations": Instrument(
        "counter", "{entry}", "Entries that left because their time was over.", _figure("expirations")
    ),
    "cenote.cache.invalidations": Instrument(
        "counter", "{entry}", "Entries that were cleared, deleted or marked stale.", _figure("invalidations")
    ),
    "cenote.cache.loads": Instrument("counter", "{load}", "Loads that yielded a value.", _figure("loads")),
    "cenote.cache.load.failures": Instrument("counter", "{load}", "Loads that raised.", _figure("load_failures")),
    "cenote.cache.coalesced": Instrument(
        "counter", "{read}", "Reads that waited for a load under way.", _figure("coalesced")
    ),
    "cenote.cache.stale.served": Instrument(
        "counter", "{read}", "Reads served with a stale value.", _figure("stale_served")
    ),
    "cenote.cache.entry.count": Instrument("up_down_counter", "{entry}", "Live entries.", _figure("current_size")),
    "cenote.cache.entry.limit": Instrument(
        "up_down_counter", "{entry}", "The most entries there may be.", _figure("max_size")
    ),
    "cenote.cache.size": Instrument(
        "up_down_counter", "By", "Bytes of the entries, as the weigher counts them.", _figure("bytes")
    ),
    "cenote.cache.saved_time": Instrument(
        "gauge", "s", "Seconds of loading that hits saved, an estimate.", _figure("saved_seconds")
    ),
}
"""By name, what is measured of each cache."""

MANAGER_INSTRUMENTS: Final = {
    "cenote.process.count": Instrument(
        "gauge", "{process}", "Processes that share the caches.", lambda look: len(look.caches.processes())
    ),
    "cenote.enabled": Instrument(
        "gauge", "1", "Whether caching is switched on.", lambda look: int(look.caches.enabled)
    ),
}
"""By name, what is measured of all caches together."""


def _standing(name: str) -> Callable[[_Look], float | None]:
    return lambda look: getattr(look.caches.standing(), name, None)


def _meter(name: str) -> Callable[[_Look], float | None]:
    return lambda look: None if look.caches.level != "network" else getattr(look.meters(), name)


def _held(look: _Look) -> float | None:
    standing = look.caches.standing()
    return None if standing is None else int(standing.lease > 0)


NETWORK_INSTRUMENTS: Final = {
    "cenote.lease.held": Instrument("gauge", "1", "Whether this machine holds a lease.", _held),
    "cenote.lease.remaining": Instrument("gauge", "s", "Seconds that the lease still lasts.", _standing("lease")),
    "cenote.member.count": Instrument("gauge", "{machine}", "Machines that share the caches.", _standing("members")),
    "cenote.member.lapsed": Instrument(
        "counter", "{machine}", "Machines that clears waited for until their lease was over.", _meter("lapsed")
    ),
    "cenote.store.round_trips": Instrument("counter", "{request}", "Requests to the server.", _meter("calls")),
    "cenote.store.errors": Instrument(
        "counter", "{request}", "Requests that it did not answer, or refused.", _meter("call_failures")
    ),
    "cenote.breaker.open": Instrument(
        "gauge", "{process}", "Processes that take the server for out of reach.", _meter("breakers")
    ),
    "cenote.clear.owed": Instrument(
        "gauge", "{invalidation}", "Invalidations that could not be written at the server yet.", _meter("owed")
    ),
}
"""By name, what is measured where caches are shared over a server."""


@dataclass(frozen=True, slots=True)
class _Look:
    """A manager, as instruments look at it."""

    caches: CacheManager
    shared: bool

    def meters(self) -> Meters:
        return self.caches.meters() if self.shared else self.caches.own_meters()


class Figures:
    """The figures of one manager, which is not kept alive.

    Args:
        caches: The manager.
        shared: Whether figures are those of all processes that share the caches; else of this one alone.
    """

    def __init__(self, caches: CacheManager, *, shared: bool) -> None:
        self._caches = weakref.ref(caches)
        self._namespace = {names.NAMESPACE: caches.namespace}
        self._shared = shared
        self._lock = threading.Lock()
        self._look: dict[str, CacheStats] = {}
        self._seen: set[str] = set()

    def of_caches(self, instrument: str, read: Callable[[CacheStats], float | None]) -> list[Observation]:
        """Return what an instrument shows of each cache."""
        found = [(cache, read(stats)) for cache, stats in self._stats(instrument).items()]
        return [
            Observation(value, {names.CACHE: cache, **self._namespace}) for cache, value in found if value is not None
        ]

    def of_manager(self, read: Callable[[_Look], float | None]) -> list[Observation]:
        """Return what an instrument shows of all caches together."""
        caches = self._caches()
        try:
            value = None if caches is None else read(_Look(caches, self._shared))
        except CenoteError:
            value = None
        return [] if value is None else [Observation(value, self._namespace)]

    def _stats(self, instrument: str) -> dict[str, CacheStats]:
        """Return the figures of every cache; one look serves all instruments, each of them once."""
        caches = self._caches()
        if caches is None:
            return {}
        with self._lock:
            if instrument in self._seen or not self._seen:
                try:
                    self._look = self._read(caches)
                except CenoteError:
                    self._look = {}
                self._seen = set()
            self._seen.add(instrument)
            return self._look

    def _read(self, caches: CacheManager) -> dict[str, CacheStats]:
        if self._shared:
            return figures_of(caches)
        found = {}
        for name in (None, *caches.services()):
            cache = caches.find(name)
            if cache is not None:
                found[label_of(name)] = cache.own_stats()
        return found


class Instruments:
    """The instruments of one meter, for the figures of any number of managers: a meter makes each of a name once.

    Args:
        meter: Makes them.
    """

    def __init__(self, meter: Meter) -> None:
        self._sources: tuple[Figures, ...] = ()
        for name, each in CACHE_INSTRUMENTS.items():
            self._create(meter, name, each, partial(self._observe_caches, name, each.read))
        for name, each in {**MANAGER_INSTRUMENTS, **NETWORK_INSTRUMENTS}.items():
            self._create(meter, name, each, partial(self._observe_managers, each.read))

    def add(self, figures: Figures) -> None:
        """Observe these too."""
        self._sources += (figures,)

    def remove(self, figures: Figures) -> None:
        """Observe these no more."""
        self._sources = tuple(source for source in self._sources if source is not figures)

    @staticmethod
    def _create(meter: Meter, name: str, each: Instrument, callback: Callable[..., Any]) -> None:
        create = getattr(meter, f"create_observable_{each.kind}")
        create(name, callbacks=[callback], unit=each.unit, description=each.text)

    def _observe_caches(
        self, name: str, read: Callable[[CacheStats], float | None], _options: CallbackOptions
    ) -> Iterable[Observation]:
        return [each for source in self._sources for each in source.of_caches(name, read)]

    def _observe_managers(
        self, read: Callable[[_Look], float | None], _options: CallbackOptions
    ) -> Iterable[Observation]:
        return [each for source in self._sources for each in source.of_manager(read)]
