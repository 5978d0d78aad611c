"""Watching: a thread that samples the figures of all caches, for whoever wants to know what happened lately."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from cenote.cache import Cache
from cenote.core import CacheCore
from cenote.errors import CenoteError, UnknownServiceError
from cenote.forecast import Forecast
from cenote.history import STEP_SECONDS, History
from cenote.member import Member
from cenote.previewing import HotKey, Look, Preview, Waits, hot_keys, look_at
from cenote.probing import Probes
from cenote.recovering import Baseline, Recovery, together, why_unknown
from cenote.register import ClearNote, News
from cenote.result import Mode
from cenote.scope import Scope
from cenote.stats import CacheStats, sum_of
from cenote.terms import check_tags

__all__ = ["Watch", "Watched"]

logger = logging.getLogger("cenote")

PROBED_CACHES: Final = 32
"""How many caches have their entries looked at: those that are read most."""

KEPT_RECOVERIES: Final = 20
"""How many clears are watched, or remembered."""

SHORTEST_PAUSE: Final = 0.005

_AT_ONCE: Final = 200
"""Up to so many caches are looked at anew for everybody who asks."""

_FRESH_SECONDS: Final = 1.0
"""How long the figures of more caches than that are good enough for the next one who asks."""


class Watched(Member, ABC):
    """The part of a cache manager that an operator looks at.

    Attributes:
        history: What every cache did lately, once ``watch`` was called.
    """

    history: History
    _watch: Watch | None = None
    _probes: dict[str | None, Probes]
    _recoveries: dict[str, Recovery]
    _calls = 0
    _seen: dict[str | None, CacheStats] | None = None
    _seen_at = 0.0

    def watch(self) -> None:
        """Begin the history, if it has not begun: a thread looks at all figures until ``close``.

        It also looks at how soon entries are read again, for previews. A forked child has to call it again.
        """
        with self._lock:
            if self._watch is not None or self._closed:
                return
            watch = self._watch = Watch()
        reference = weakref.ref(self, lambda _: watch.end())

        def hear(news: News) -> None:
            # Not the method: the thread, which can end this, would keep the manager from being collected.
            manager = reference()
            if manager is not None:
                manager._hear(news)  # noqa: SLF001  # its own

        watch.unsubscribe = self.audit.register.subscribe(hear)
        threading.Thread(target=_look_on, args=(reference, watch), name="cenote-watch", daemon=True).start()

    @property
    def uptime(self) -> float:
        """Seconds since the manager was made."""
        return max(0.0, self._clock.time() - self._since)

    def now(self) -> float:
        """Return its clock's time, in seconds since the Unix epoch."""
        return self._clock.time()

    @property
    def watched(self) -> bool:
        """Whether the history goes on."""
        return self._watch is not None and not self._watch.over

    def end_watch(self) -> None:
        """End the history's thread."""
        if self._watch is not None:
            self._watch.end()

    def figures(self, *, recent: bool = False) -> dict[str | None, CacheStats]:
        """Return the statistics of every cache by service, over all processes that share them.

        The global cache is None.

        Args:
            recent: Whether figures that somebody else asked for a second ago will do, where there are many caches.
        """
        seen = self._seen
        lately = self._clock.monotonic() < self._seen_at + _FRESH_SECONDS
        if recent and lately and seen is not None and len(seen) > _AT_ONCE:
            return seen
        cores = self._all_cores("stats")
        self._call_census()
        return self._look_at(cores)

    def sample(self) -> None:
        """Take a sample for the history if one is due."""
        if self.history.due > 0:
            return
        cores = self._all_cores("stats")
        self._have_reported()
        self.history.sample(self._look_at(cores))
        self._choose(cores)

    def _have_reported(self) -> None:
        """Have all processes report, unless one of them had them do so since this was called last.

        Where every process has a history, one of them at a time asks the others.
        """
        census = self._log.counting
        if census is not None:
            if census.calls == self._calls:
                census.call()
            self._calls = census.calls

    def _choose(self, cores: Sequence[CacheCore]) -> None:
        """Choose the caches whose entries are looked at: those that were read most in the last step."""
        busy = sorted(cores, key=self._reads_lately, reverse=True)[:PROBED_CACHES]
        chosen = [core for core in busy if self._reads_lately(core)]
        self._probes = {core.name: self._probes.get(core.name) or Probes(core) for core in chosen}

    def _reads_lately(self, core: CacheCore) -> float:
        return self.history.last_reads(core.name)

    def look(self) -> float:
        """Look at whatever is due, as the thread does; return in how many seconds something is due again."""
        self.sample()
        now = self._clock.monotonic()
        due = [now + self.history.due]
        for probes in list(self._probes.values()):
            again = probes.step()
            due += [] if again is None else [again]
        for recovery in [each for each in self._recoveries.values() if not each.over]:
            if now >= recovery.due:
                self._have_reported()
                recovery.look(now, self._counted(recovery.note))
            due.append(recovery.due)
        return max(0.0, min(due) - self._clock.monotonic())

    def _counted(self, note: ClearNote) -> CacheStats:
        """Return what the caches of a clear have counted, in all processes."""
        cores = [core for core in list(self._cores) if note.everything or core.name == note.service]
        return sum_of([core.counted() for core in cores])

    def _hear(self, news: News) -> None:
        """Begin to watch how the hit rate comes back behind a clear of whole caches; in the thread that clears."""
        note = news.note
        if news.kind != "begun" or note.scope is not None or self._watch is None:
            return
        cores = [core for core in list(self._cores) if note.everything or core.name == note.service]
        stats = [core.counted() for core in cores]
        soft = note.mode == "soft"
        baselines = [self._baseline(core, each, soft=soft) for core, each in zip(cores, stats, strict=True)]
        recovery = self._recoveries[note.clear_id] = Recovery(note, baselines, sum_of(stats))
        while len(self._recoveries) > KEPT_RECOVERIES:
            del self._recoveries[next(iter(self._recoveries))]
        self._watch.look_within(recovery.due - self._clock.monotonic())

    def _baseline(self, core: CacheCore, stats: CacheStats, *, soft: bool) -> Baseline:
        probes = self._probes.get(core.name)
        return Baseline(
            rereads=None if probes is None else probes.rereads,
            entries=stats.current_size,
            recent=self.history.recent(core.name, stats),
            blind=self._blind(core),
            behind=soft and core.options.stale_while_revalidate > 0,
        )

    def _foreseen(self, core: CacheCore, stats: CacheStats, look: Look, *, soft: bool) -> Baseline:
        """Return what a forecast of a clear goes by that takes what was looked at."""
        baseline = self._baseline(core, stats, soft=soft)
        if look.unseen:
            return replace(baseline, rereads=None, entries=0, blind=_unseen(look.unseen))
        # What is watched of entries at a server is their copies in memory, as when the clear is made.
        entries = round(look.share * core.counted().current_size) if core.far else look.entries
        return replace(baseline, entries=entries)

    def _blind(self, core: CacheCore) -> str:
        """Return why nothing is seen of a cache's entries, should that be so."""
        policy = core.state.store.policy
        if policy is None or not policy.touch_cap:
            return "reads of it leave no count: it has no limit, or evicts by lru"
        if self._watch is None:
            return "nobody watches the caches"
        return f"its entries are not watched yet, as those of the {PROBED_CACHES} caches are that are read most"

    def recovery(self, clear_id: str) -> Recovery | None:
        """Return how the hit rate came back behind a clear, as far as it was watched; None where it was not."""
        return self._recoveries.get(clear_id)

    def hot_keys(self, service: str | None, most: int = 10) -> list[HotKey]:
        """Return keys of a cache that are read often, as far as they were noticed, the hottest first."""
        cache, probes = self.find(service), self._probes.get(service)
        core = None if cache is None else next(each for each in list(self._cores) if each.name == service)
        return [] if core is None or probes is None else hot_keys(core, probes, most)

    def preview(
        self,
        service: str | None = None,
        *,
        everything: bool = False,
        mode: Mode = "hard",
        prefix: str | None = None,
        tags: Iterable[str] | None = None,
        max_items: int = 20,
        rate: float | None = None,
    ) -> Preview:
        """Say what a clear would take, and what it would cost; it never goes through all of a large cache.

        Args:
            service: The service; None: the global cache.
            everything: All caches instead.
            mode: "hard" or "soft".
            prefix: As for ``Cache.clear``.
            tags: As for ``Cache.clear``.
            max_items: How many identifiers to list.
            rate: Loads a second, where the refill is to be paced.

        Raises:
            UnknownServiceError: There is no such service.
            ClearFailedError: What processes share cannot be read at the moment.
        """
        begin = time.perf_counter()
        self._check_open()
        if not everything and self.find(service) is None:
            raise UnknownServiceError(str(service), self.services())
        scope = None if prefix is None and tags is None else Scope(tags=check_tags(tags or ()), prefix=prefix)
        cores = self._all_cores("preview") if everything else [e for e in list(self._cores) if e.name == service]
        self._call_census()
        looks, baselines = [], []
        for core in cores:
            stats = core.stats()
            probes = self._probes.get(core.name) or Probes(core)
            look = look_at(core, probes, scope, stats=stats, most=max_items, hot=max_items)
            looks.append(look)
            baselines.append(replace(self._foreseen(core, stats, look, soft=mode == "soft"), rate=rate))
        forecast = together(baselines)
        basis = why_unknown(baselines) if forecast is None else forecast.basis
        waits: Waits = "all" if mode == "hard" else "none" if all(each.behind for each in baselines) else "first"
        costs = [look.cost * look.entries for look in looks if look.cost is not None]
        sizes = [look.size for look in looks if look.size is not None]
        entries = sum(look.entries for look in looks)
        return Preview(
            service=service,
            everything=everything,
            mode=mode,
            entries=entries,
            exact=all(look.exact for look in looks),
            size=sum(sizes) if sizes else None,
            items=tuple(islice(chain.from_iterable(look.items for look in looks), max_items)),
            hottest=tuple(
                sorted(
                    chain.from_iterable(look.hottest for look in looks),
                    key=lambda hot: hot.reads_per_second,
                    reverse=True,
                )[:max_items]
            ),
            entry_seconds=round(sum(costs), 6) if costs else None,
            forecast=forecast,
            basis=basis,
            waits=waits,
            sampled=sum(look.sampled for look in looks),
            seconds=time.perf_counter() - begin,
            message=_told(_amount(looks), forecast, basis, waits),
        )

    def _look_at(self, cores: Sequence[CacheCore]) -> dict[str | None, CacheStats]:
        # How many entries there are at a server is not asked here: a round trip for each cache is too dear.
        found = {core.name: core.counted() if core.far else core.stats() for core in cores}
        self._seen, self._seen_at = found, self._clock.monotonic()
        return found

    @abstractmethod
    def find(self, name: str | None) -> Cache | None:
        """Return the cache of a service, or None; None finds the global cache."""

    @abstractmethod
    def services(self) -> list[str]:
        """Return the names of the services that have a cache in any of the processes, sorted."""

    @abstractmethod
    def _all_cores(self, action: str) -> list[CacheCore]:
        """Return the cores of all caches, those included that only other processes used until now."""

    def after_fork_in_child(self) -> None:
        """Begin without a history, too; counts start from nothing in a child."""
        super().after_fork_in_child()
        self._watch = self._seen = None
        self._probes, self._recoveries = {}, {}
        self.history.forget()


class Watch:
    """What wakes the thread that looks.

    Attributes:
        over: Whether it is to end.
        unsubscribe: Ends what the thread hears of.
    """

    def __init__(self) -> None:
        self.over = False
        self.unsubscribe: Callable[[], object] = bool
        self._event = threading.Event()
        self._until = float("inf")

    def look_within(self, seconds: float) -> None:
        """Have the thread look in so many seconds at the latest; it is woken only where it would wait for longer.

        Waking it at every one of many clears would cost more than they do.
        """
        if time.monotonic() + seconds < self._until:
            self._event.set()

    def end(self) -> None:
        """Have the thread end."""
        self.over = True
        self.unsubscribe()
        self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait until something is due, or there is something new."""
        self._until = time.monotonic() + seconds
        self._event.wait(seconds)
        self._until = float("inf")  # it looks: what comes now has it look again before it waits
        self._event.clear()


_BORNE: Final = {
    "all": "are paid again within ten minutes",
    "first": "are paid again within ten minutes, by one caller of each entry, while others are served its stale copy",
    "none": "are spent again within ten minutes, behind stale copies: no caller waits",
}


def _unseen(entries: int) -> str:
    return f"this process holds nothing to judge the {entries} entries by that others have in their memory"


def _amount(looks: Sequence[Look]) -> str:
    """Return how many entries, in words."""
    entries, unseen = sum(look.entries for look in looks), sum(look.unseen for look in looks)
    if unseen:
        return f"{entries} to {entries + unseen}"
    return f"{'' if all(look.exact for look in looks) else 'about '}{entries}"


def _told(amount: str, forecast: Forecast | None, basis: str, waits: Waits) -> str:
    text = f"would take {amount} entries" if waits == "all" else f"would mark {amount} entries stale"
    if forecast is None:
        return f"{text}; what loading them again costs is not known yet: {basis}"
    cost = f"{text}; about {forecast.reload_seconds:.1f} seconds of loading {_BORNE[waits]}"
    if waits == "none":
        return cost
    back = f"{forecast.seconds_to_90:.0f} seconds" if forecast.seconds_to_90 is not None else "more than ten minutes"
    return f"{cost}, and the hit rate is back at 90 percent of {forecast.hit_rate_before:.0f} percent after {back}"


def _look_on(reference: weakref.ref[Watched], watch: Watch) -> None:
    """Look at what is due until the manager is closed, or nobody has it any more."""
    pause = 0.0
    while not watch.over:
        watch.wait(min(pause, STEP_SECONDS))
        manager = reference()
        if manager is None or watch.over:
            return
        try:
            pause = max(SHORTEST_PAUSE, manager.look())
        except CenoteError as error:
            logger.debug("the figures cannot be looked at: %s", error)
            pause = STEP_SECONDS
        except Exception:
            logger.exception("looking at the figures failed")
            pause = STEP_SECONDS
        del manager  # or this thread would keep it from being collected while it waits
