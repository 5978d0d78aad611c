"""Wiring: from a URL to objects. The only place that knows which log goes with which reach."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from cenote.errors import ConfigurationError, MissingExtraError
from cenote.invalidation.log import InvalidationLog
from cenote.invalidation.process import ProcessLog
from cenote.stores.shared import SharedStore

if TYPE_CHECKING:
    from cenote.invalidation.machine import MachineLog

__all__ = ["Backend", "SharedBackend", "connect"]

DEFAULT_MAX_BYTES: Final = 1 << 30
SMALLEST_MAX_BYTES: Final = 1 << 20
LARGEST_MAX_BYTES: Final = 1 << 43
CHECK_SECONDS: Final = 60.0

logger = logging.getLogger("cenote")


@dataclass(frozen=True, slots=True)
class SharedBackend:
    """A store outside of the process, and what goes with it.

    Attributes:
        store: The store.
        hold: Called before the process forks.
        release: Called in the parent afterwards.
        after_fork: Called in the child.
        close: Gives everything back.
        noted: Told of every sequence that the store has come to.
        align: Empties the store when it does not fit the log; with all others kept away.
    """

    store: SharedStore
    hold: Callable[[], None]
    release: Callable[[], None]
    after_fork: Callable[[], None]
    close: Callable[[], None]
    noted: Callable[[int], None]
    align: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Backend:
    """What a URL names.

    Attributes:
        name: As the status shows it: "memory" or "lmdb".
        log: The invalidation log.
        shared: The store outside of the process; None when entries live in memory.
    """

    name: str
    log: InvalidationLog
    shared: SharedBackend | None = None


def connect(url: str, namespace: str) -> Backend:
    """Open what a URL names.

    Args:
        url: ``memory://`` for caches in the memory of this process, ``memory:///dir`` for caches in the memory of each
            process of a machine with one log for all, in that directory, ``lmdb:///dir`` for entries on disk that the
            processes share; ``?max_bytes=`` is their limit.
        namespace: Keeps the caches of one application apart from those of others in the same directory.

    Returns:
        The log and the store.

    Raises:
        ConfigurationError: There is no such backend, the URL says more than it can mean, or the directory cannot be
            used.
        MissingExtraError: The backend needs a package that is not installed.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string such as 'memory://', not {url!r}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"url cannot be read: {error}") from None
    if parts.scheme not in ("memory", "lmdb") or "://" not in url:
        raise ConfigurationError(
            "url must be 'memory://', 'memory:///directory' or 'lmdb:///directory'; there is no backend for "
            f"{parts.scheme or url!r}"
        )
    if url == "memory://":
        return Backend("memory", ProcessLog())
    if parts.scheme == "lmdb":
        return _lmdb(_directory(url, parts), namespace, _max_bytes(url, parts.query))
    if parts.query:
        raise ConfigurationError(f"memory:// takes no query; not {url!r}")
    return Backend("memory", _machine_log(_directory(url, parts), namespace))


def _lmdb(directory: Path, namespace: str, max_bytes: int) -> Backend:
    try:
        from cenote.stores.lmdb import LmdbStore  # noqa: PLC0415  # an extra
        from cenote.stores.lmdb_check import check, discard  # noqa: PLC0415  # the same
    except ModuleNotFoundError as error:
        raise MissingExtraError("The LMDB store", "lmdb") from error
    log = _machine_log(directory, namespace)
    from cenote.invalidation.machine import StoreGate  # noqa: PLC0415  # there, since the log is

    real = log.path.parent
    with ExitStack() as undone:
        undone.callback(log.close)
        gate = StoreGate(real)
        undone.callback(gate.close)
        with gate.opening(max_bytes) as alone:
            damage = check(real, CHECK_SECONDS) if alone else None
            if damage is not None:
                logger.warning("the store in %s cannot be used: %s; it begins empty", real, damage)
                discard(real)
            if not alone and not (real / "data.mdb").exists():
                raise ConfigurationError(
                    f"the store in {real} was removed while processes have it open: stop them before another one starts"
                )
            store = LmdbStore(real, namespace, max_bytes=max_bytes, gate=gate)
        undone.callback(store.close)

        def align() -> None:
            if not log.fits(store.stamp):
                store.reset(log.incarnation, log.head)
                log.note_stored(log.head)

        def close() -> None:
            store.close()
            gate.close()

        def after_fork() -> None:
            gate.after_fork()
            store.after_fork()

        with log.exclusive("open"):
            align()
        undone.pop_all()
    shared = SharedBackend(store, gate.hold, gate.release, after_fork, close, log.note_stored, align)
    return Backend("lmdb", log, shared)


def _max_bytes(url: str, query: str) -> int:
    try:
        fields = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
        (text,) = fields.pop("max_bytes", [str(DEFAULT_MAX_BYTES)])
        number = int(text)
    except ValueError:
        fields, number = {"": []}, 0
    if fields or not SMALLEST_MAX_BYTES <= number <= LARGEST_MAX_BYTES:
        raise ConfigurationError(
            f"lmdb:// takes one query, max_bytes, a number of bytes from {SMALLEST_MAX_BYTES} to {LARGEST_MAX_BYTES}; "
            f"not {url!r}"
        )
    return number


def _directory(url: str, parts: SplitResult) -> Path:
    """Return the absolute path that a URL names."""
    if parts.netloc or parts.fragment or parts.path in ("", "/"):
        raise ConfigurationError(
            f"{parts.scheme}:// takes the absolute path of a directory, as in {parts.scheme}:///run/shop, and no host "
            f"or fragment; not {url!r}"
        )
    path = unquote(parts.path)
    if "\0" in path:
        raise ConfigurationError(f"url names no directory: {url!r}")
    return Path(path)


def _machine_log(directory: Path, namespace: str) -> MachineLog:
    try:
        from cenote.invalidation.machine import MachineLog, prepare_directory  # noqa: PLC0415  # not on every system
    except ImportError as error:
        raise ConfigurationError(
            f"this system has no shared memory and locks that processes can use: {error}"
        ) from error
    return MachineLog(prepare_directory(directory) / f"{namespace}.cenote")
