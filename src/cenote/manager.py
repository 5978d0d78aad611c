"""The manager: the global cache and the services' caches, cleared one by one or all at once."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from cenote import locks
from cenote.audit import AuditTrail
from cenote.cache import Cache
from cenote.clearing import ClearOrder, clear_all, run_clear
from cenote.clock import Clock, SystemClock
from cenote.codecs import Codec, MsgpackCodec
from cenote.core import CacheCore
from cenote.errors import ClearFailedError, ConfigurationError, ReentrantError, UnknownServiceError
from cenote.far import FarCache
from cenote.forking import Registry
from cenote.history import History
from cenote.keeper import keeper
from cenote.keys import check_name
from cenote.observing import Observer
from cenote.options import CacheOptions
from cenote.pacing import Refill
from cenote.result import ClearResult, Mode
from cenote.state import Root
from cenote.stats import CacheStats, ManagerStats
from cenote.swapping import close_all
from cenote.watching import Watched
from cenote.wiring import connect, without_password

__all__ = ["CacheManager", "live_managers"]

_live: Registry[CacheManager] = Registry()


class CacheManager(Watched):
    """One global cache and a named cache for each service.

    It may be used from any thread, and as a context manager, which closes it.
    """

    def __init__(
        self,
        url: str = "memory://",
        *,
        namespace: str = "cenote",
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a manager with an empty global cache.

        Args:
            url: Where entries live and who learns of a clear. ``memory://`` is this process; with ``memory:///dir``
                each process that names the directory has entries of its own, and a clear reaches all of them.
            namespace: Keeps the caches of one application apart from those of others that share the backend.
            codec: How values are written outside of the process; typed msgpack when not given. Without meaning for
                ``memory:``.
            clock: Where time comes from; the machine's clock when not given.

        Raises:
            ConfigurationError: The URL or the namespace cannot be used.
        """
        locks.refuse_gevent()
        self.url = url
        self.namespace = check_name(namespace, "namespace")
        backend = connect(url, self.namespace)
        self.backend, self._log = backend.name, backend.log
        self._shared = backend.shared
        self._core = backend.core
        self._codec = None if self._shared is None else codec or MsgpackCodec()
        self._clock = SystemClock() if clock is None else clock
        self._root = Root()
        self._lock = locks.make_lock()
        self._enabled = True
        self._closed = False
        self._observer: Observer | None = None
        self.audit = AuditTrail(self._clock)
        self.history = History(self._clock)
        self._probes, self._recoveries = {}, {}
        self._services: dict[str, Cache] = {}
        self._adopted: set[str] = set()
        """The services whose caches are here only because another process has them."""
        self._all: list[Cache] = []
        self._cores: list[CacheCore] = []
        self._since = self._clock.time()
        self._unattended = False
        """Whether this is a forked child whose log has no watcher yet."""
        self.global_cache = self._add(None, CacheOptions())
        self._log.attend(self)
        _live.add(self)

    def __repr__(self) -> str:
        return f"<CacheManager {without_password(self.url)} with {len(self._services)} services>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def level(self) -> str:
        """The guarantee that a clear reaches: "process", "machine" or "network"."""
        return self._log.level

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def enabled(self) -> bool:
        """The switch of all caches: while it is False every read loads and nothing is stored.

        Switching off empties them. A cache caches when its own switch is on too.
        """
        return self._enabled

    @enabled.setter
    def enabled(self, on: bool) -> None:
        with self._changing("enabled"):
            self._check_open()
            self._enabled = bool(on)
            for cache in self._all:
                cache.apply_switches(all_on=self._enabled)

    def service(self, name: str, **options: Any) -> Cache:
        """Return the cache of a service, making it the first time.

        Args:
            name: 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit.
            **options: See CacheOptions. Without any, an existing cache is returned whatever its options.

        Raises:
            ConfigurationError: The name or an option cannot be used, or the cache exists with other options.
        """
        check_name(name)
        wanted = CacheOptions.of(**options) if options else None
        with self._changing("service"):
            self._check_open()
            if wanted is None and name in self._adopted:
                wanted = CacheOptions()
            cache = self._services.get(name)
            if cache is None:
                cache = self._services[name] = self._add(name, wanted or CacheOptions())
            elif wanted is not None and wanted != cache.options and not self._may_take(cache, wanted):
                raise ConfigurationError(
                    f"service {name!r} exists with other options: {_difference(cache.options, wanted)}"
                )
            self._adopted.discard(name)
            return cache

    def find(self, name: str | None) -> Cache | None:
        """Return the cache of a service, or None; None finds the global cache.

        Where another process has a cache of that service it is found too; this process's part of it has no options
        until ``service`` gives it some.
        """
        if name is None:
            return self.global_cache
        found = self._services.get(name)
        if found is None and name in self._known():
            with self._changing("find"):
                found = self._adopt(name)
        return found

    def services(self) -> list[str]:
        """Return the names of the services that have a cache in any of the processes, sorted."""
        return sorted({*self._known(), *list(self._services)})  # a copy in one step: it may grow meanwhile

    def clear(
        self,
        service: str | None = None,
        *,
        mode: Mode = "hard",
        dry_run: bool = False,
        prefix: str | None = None,
        tags: Any = None,
        max_items: int = 100,
        reason: str | None = None,
        actor: str | None = None,
        clear_id: str | None = None,
        refill: Refill | None = None,
    ) -> ClearResult:
        """Clear the global cache (None) or a service's; see ``Cache.clear`` for the arguments.

        Raises:
            UnknownServiceError: There is no such service; nothing was cleared and none was made.
        """
        self._check_open()
        cache = self.find(service)
        if cache is None:
            if not self._log.connected:
                raise ClearFailedError(
                    f"other processes cannot be reached, so nobody can tell whether they have a cache for {service!r}"
                )
            raise UnknownServiceError(str(service), self.services())
        return cache.clear(
            mode=mode,
            dry_run=dry_run,
            prefix=prefix,
            tags=tags,
            max_items=max_items,
            reason=reason,
            actor=actor,
            clear_id=clear_id,
            refill=refill,
        )

    def clear_all(
        self,
        *,
        mode: Mode = "hard",
        dry_run: bool = False,
        max_items: int = 100,
        reason: str | None = None,
        actor: str | None = None,
        clear_id: str | None = None,
        refill: Refill | None = None,
    ) -> ClearResult:
        """Clear the global cache and every service's in one step: no reader finds one cleared and another old.

        The arguments and the result are those of ``Cache.clear``.
        """
        order = ClearOrder(
            mode=mode,
            dry_run=dry_run,
            max_items=max_items,
            reason=reason,
            actor=actor,
            clear_id=clear_id,
            refill=refill,
        )
        # A cache that is made meanwhile has nothing that is older than this call.
        cores = self._all_cores("clear_all")
        return run_clear(
            cores[0],
            self.audit,
            lambda tally: clear_all(cores, soft=order.soft, dry_run=dry_run, tally=tally),
            what="all caches",
            order=order,
            action="clear_all",
        )

    def stats(self) -> ManagerStats:
        """Return the statistics of all caches, over all processes that share them."""
        self._all_cores("stats")
        self._call_census()
        services = sorted(list(self._services.items()))  # noqa: C414  # a copy in one step: it may grow meanwhile
        return ManagerStats(self.global_cache.stats(), {name: cache.stats() for name, cache in services})

    def stats_of(self, service: str | None) -> CacheStats | None:
        """Return the statistics of one cache, over all processes that share it; None where there is no such service.

        ``Cache.stats`` adds up what the others last reported; this asks them first, as ``stats`` does.
        """
        self._check_open()
        cache = self.find(service)
        if cache is None:
            return None
        self._call_census()
        return cache.stats()

    def observe(self, observer: Observer | None) -> None:
        """Have an observer told of every load and clear from now on, in the place of the one before.

        Args:
            observer: The observer; None for nobody.
        """
        with self._changing("observe"):
            self._observer = observer
            for core in self._cores:
                core.observer = observer

    @property
    def observer(self) -> Observer | None:
        """Who is told of every load and clear."""
        return self._observer

    def close(self) -> None:
        """Empty every cache and end the manager; a second call does nothing.

        Memoized functions go on without a cache; every other use raises ClosedError.
        """
        with self._changing("close"):
            if self._closed:
                return
            self.report()
            close_all(self._cores)
            self._closed = True
            self.end_watch()
            self._log.close()
            if self._shared is not None:
                self._shared.close()
        _live.discard(self)

    # What other processes have

    def _adopt(self, name: str) -> Cache:
        """Return the cache of a service that another process has, making this process's part; under the lock."""
        self._check_open()
        cache = self._services.get(name)
        if cache is None:
            cache = self._services[name] = self._add(name, _UNUSED)
            self._adopted.add(name)
        return cache

    def _may_take(self, cache: Cache, options: CacheOptions) -> bool:
        """Give a cache that is here only because another process has it the options of its first user, if possible."""
        return cache.name in self._adopted and cache.take_options(options)

    def _all_cores(self, action: str) -> list[CacheCore]:
        """Return the cores of all caches, those included that only other processes used until now."""
        self._check_open()
        known = self._known()
        with self._changing(action):
            self._check_open()
            for name in known:
                self._adopt(name)
            return list(self._cores)

    def _add(self, name: str | None, options: CacheOptions) -> Cache:
        shared = None if self._shared is None or self._codec is None else (self._shared.store, self._codec)
        core = self._core(name, options, self._root, len(self._cores), self._log, self._clock, shared)
        if core.sharing is not None and self._shared is not None:
            core.sharing.noted, core.sharing.swept = self._shared.noted, self._count_swept
        if self._log.word is not None:
            core.rejoin = self.rejoin  # so that the manager, and its watch, live as long as a memoized function
        cache = (FarCache if core.far else Cache)(core, self.audit)
        self._cores.append(core)
        self._all.append(cache)
        core.observer = self._observer
        if not self._enabled:
            cache.apply_switches(all_on=False)
        keeper.watch(core)
        return cache

    def _changing(self, action: str) -> locks.Lock:
        """Return the manager's lock; under it caches are waited for, so nobody who holds one's lock may wait for it.

        Raises:
            ReentrantError: This thread is inside a change of a cache: a signal handler or a finalizer interrupted it.
        """
        if any(locks.owned(core.lock) for core in list(self._cores)):
            raise ReentrantError(action)
        return self._lock


def live_managers() -> list[CacheManager]:
    """Return the managers that are open in this process."""
    return _live.members()


def _difference(there: CacheOptions, wanted: CacheOptions) -> str:
    names = [name for name in CacheOptions.__slots__ if getattr(there, name) != getattr(wanted, name)]
    return ", ".join(f"{name}={getattr(there, name)!r}, not {getattr(wanted, name)!r}" for name in names)


_UNUSED: Final = CacheOptions(max_entries=None)
"""The options of a cache that this process does not use itself: it names no limit, for those who add up."""
