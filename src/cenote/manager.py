"""The manager: the global cache and the services' caches, cleared one by one or all at once."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from cenote import locks
from cenote.audit import AuditTrail
from cenote.cache import Cache
from cenote.clearing import ClearOrder, clear_all, run_clear
from cenote.clock import Clock, SystemClock
from cenote.codecs import Codec, MsgpackCodec
from cenote.core import CacheCore
from cenote.errors import ClearFailedError, ClosedError, ConfigurationError, ReentrantError, UnknownServiceError
from cenote.invalidation.census import Process
from cenote.keeper import keeper
from cenote.keys import check_name
from cenote.options import CacheOptions
from cenote.result import ClearResult, Mode
from cenote.state import Root, State, cache_of
from cenote.stats import CacheStats, ManagerStats
from cenote.stores.shared import Place
from cenote.swapping import close_all, forget_all, hold_all, release_all
from cenote.wiring import connect

__all__ = ["CacheManager", "live_managers"]

TENDED_AT_ONCE: Final = 200
"""Entries of a shared store that are swept or reaped before others may write."""

_live: weakref.WeakSet[CacheManager] = weakref.WeakSet()
_live_lock = threading.Lock()


class CacheManager:
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
        self._codec = None if self._shared is None else codec or MsgpackCodec()
        self._clock = SystemClock() if clock is None else clock
        self._root = Root()
        self._lock = locks.make_lock()
        self._enabled = True
        self._closed = False
        self.audit = AuditTrail(self._clock)
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
        with _live_lock:
            _live.add(self)

    def __repr__(self) -> str:
        return f"<CacheManager {self.url} with {len(self._services)} services>"

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
        )

    def clear_all(
        self,
        *,
        mode: Mode = "hard",
        dry_run: bool = False,
        max_items: int = 100,
        reason: str | None = None,
        actor: str | None = None,
    ) -> ClearResult:
        """Clear the global cache and every service's in one step: no reader finds one cleared and another old.

        The arguments and the result are those of ``Cache.clear``.
        """
        order = ClearOrder(mode=mode, dry_run=dry_run, max_items=max_items, reason=reason, actor=actor)
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
            self._log.close()
            if self._shared is not None:
                self._shared.close()
        with _live_lock:
            _live.discard(self)

    # What the log asks of the manager

    def obey_all(self) -> None:
        """Have every cache obey what other processes wrote."""
        for core in list(self._cores):
            core.current()

    def report(self) -> None:
        """Publish the figures of every cache, for whichever process is asked for the sums."""
        if self._log.census is not None and not self._closed:
            for core in list(self._cores):
                core.report()

    def rejoin(self) -> bool:
        """Take part again when what is shared was lost, or in a forked child; whatever was cached is forgotten."""
        attended = self._log.connected
        joined = self._log.rejoin(self._forget)
        if joined and not attended and self._unattended:
            self._unattended = False
            self._log.attend(self)
        return joined

    def _forget(self) -> None:
        if self._shared is not None and self._log.connected:
            with self._log.exclusive("open"):
                self._shared.align()
        forget_all(list(self._cores))

    def tend(self) -> bool:
        """Do a little of what a shared store needs; return whether there is more to do."""
        shared, census = self._shared, self._log.census
        if shared is None or census is None or not census.first or self._closed:
            return False
        with self._log.exclusive("tend"):
            swept = self._count_swept(shared.store.sweep(TENDED_AT_ONCE))
            return max(swept, shared.store.reap(self._floor, TENDED_AT_ONCE)) >= TENDED_AT_ONCE

    def _floor(self, shelf: str) -> int:
        """Return the generation below which a shelf of the shared store holds garbage."""
        cache = cache_of(shelf, self._log.incarnation)
        return sys.maxsize if cache is None else self._log.floor(cache or None, soft=False)

    def _count_swept(self, swept: Mapping[Place, int]) -> int:
        """Count what ended in the shared store for the caches that it belonged to; return how much that was."""
        for (shelf, _), count in swept.items():
            name = cache_of(shelf, self._log.incarnation)
            cache = self._services.get(name) if name else self.global_cache
            if cache is not None:
                cache.count_expired(count)
        return sum(swept.values())

    def processes(self) -> list[Process]:
        """Return the processes that share the caches, this one included, the longest attached first."""
        self._check_open()
        self._attach()
        if self._log.census is not None and self._log.connected:
            return self._log.census.processes()
        return [Process(os.getpid(), self._since, sum(len(cache) for cache in self._all))]

    # What other processes have

    def _attach(self) -> None:
        """Take part again where this process does not: it was forked, or what is shared was lost."""
        if not self._log.connected and not self._closed:
            self.rejoin()

    def _known(self) -> Sequence[str]:
        self._attach()
        return self._log.known_caches()

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

    def _call_census(self) -> None:
        if self._log.census is not None and self._log.connected:
            self._log.census.call()

    def _add(self, name: str | None, options: CacheOptions) -> Cache:
        shared = None if self._shared is None or self._codec is None else (self._shared.store, self._codec)
        core = CacheCore(name, options, self._root, len(self._cores), self._log, self._clock, shared)
        if core.sharing is not None and self._shared is not None:
            core.sharing.noted, core.sharing.swept = self._shared.noted, self._count_swept
        if self._log.word is not None:
            core.rejoin = self.rejoin  # so that the manager, and its watch, live as long as a memoized function
        cache = Cache(core, self.audit)
        self._cores.append(core)
        self._all.append(cache)
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

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the cache manager is closed")

    # Fork: locks are taken before, so that no change is cut in two; the child has new ones, and nothing cached.

    def _before_fork(self) -> None:
        self._lock.acquire()
        self._log.hold()
        if self._shared is not None:
            self._shared.hold()
        hold_all(self._cores)
        self._root.lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._root.lock.release()
        release_all(self._cores)
        if self._shared is not None:
            self._shared.release()
        self._log.release()
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = locks.make_lock()
        self._root.lock = locks.make_lock()
        self.audit.after_fork()
        self._log.after_fork()
        if self._shared is not None:
            self._shared.after_fork()
        self._unattended = True
        for core in self._cores:
            core.lock = locks.make_lock()
            core.tasks.clear()
            # Freeing the parent's entries would copy every page that the two still share.
            _inherited.append(core.state)
            core.install(core.fresh())


def live_managers() -> list[CacheManager]:
    """Return the managers that are open in this process."""
    with _live_lock:
        return list(_live)


def _difference(there: CacheOptions, wanted: CacheOptions) -> str:
    names = [name for name in CacheOptions.__slots__ if getattr(there, name) != getattr(wanted, name)]
    return ", ".join(f"{name}={getattr(there, name)!r}, not {getattr(wanted, name)!r}" for name in names)


_UNUSED: Final = CacheOptions(max_entries=None)
"""The options of a cache that this process does not use itself: it names no limit, for those who add up."""

_forking: list[CacheManager] = []
"""Managers whose locks are held while the process forks."""

_inherited: list[State] = []
"""What a forked child keeps of its parent's States, never to be freed."""


def _before_fork() -> None:
    _live_lock.acquire()
    _forking.extend(_live)
    for manager in _forking:
        manager._before_fork()  # noqa: SLF001  # the same file


def _after_fork_in_parent() -> None:
    for manager in reversed(_forking):
        manager._after_fork_in_parent()  # noqa: SLF001  # the same file
    _forking.clear()
    _live_lock.release()


def _after_fork_in_child() -> None:
    global _live_lock  # noqa: PLW0603  # the lock's holder may not exist in the child
    _live_lock = threading.Lock()
    for manager in _forking:
        manager._after_fork_in_child()  # noqa: SLF001  # the same file
    _forking.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
