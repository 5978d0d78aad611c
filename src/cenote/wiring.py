"""Wiring: from a URL to objects. The only place that knows which log goes with which reach."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlencode, urlsplit

from cenote.clock import SystemClock, may_lease
from cenote.core import CacheCore
from cenote.errors import ConfigurationError, MissingExtraError
from cenote.invalidation.log import InvalidationLog
from cenote.invalidation.process import ProcessLog
from cenote.stores.shared import SharedReads

if TYPE_CHECKING:
    from cenote.invalidation.machine import MachineLog

__all__ = ["Backend", "SharedBackend", "connect", "without_password"]

DEFAULT_MAX_BYTES: Final = 1 << 30
SMALLEST_MAX_BYTES: Final = 1 << 20
LARGEST_MAX_BYTES: Final = 1 << 43
CHECK_SECONDS: Final = 60.0

SERVERS: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
}
"""Schemes of servers, as users and as redis-py write them."""

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

    store: SharedReads
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
        name: As the status shows it: "memory", "lmdb" or "redis".
        log: The invalidation log.
        shared: The store outside of the process; None when entries live in memory.
        core: What caches are made of.
    """

    name: str
    log: InvalidationLog
    shared: SharedBackend | None = None
    core: type[CacheCore] = CacheCore


def connect(url: str, namespace: str) -> Backend:
    """Open what a URL names.

    Args:
        url: ``memory://`` for caches in the memory of this process, ``memory:///dir`` for caches in the memory of each
            process of a machine with one log for all, in that directory, ``lmdb:///dir`` for entries on disk that the
            processes share; ``?max_bytes=`` is their limit. ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://``
            or ``unix://`` for entries at a server that many machines share; docs/howto/redis.md has hosts and query.
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
    if parts.scheme in SERVERS and "://" in url:
        return _redis(url, parts, namespace)
    if parts.scheme not in ("memory", "lmdb") or "://" not in url:
        raise ConfigurationError(
            "url must be 'memory://', 'memory:///directory', 'lmdb:///directory' or 'redis://host'; there is no "
            f"backend for {parts.scheme or url!r}"
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


def _redis(url: str, parts: SplitResult, namespace: str) -> Backend:
    try:
        from cenote.invalidation.network import (  # noqa: PLC0415  # an extra
            LEASE_SECONDS,
            Lease,
            Ledger,
            Link,
            NetworkLog,
            SpreadLedger,
            Unverified,
            tags_of,
        )
        from cenote.remote import RemoteCore  # noqa: PLC0415  # the same
        from cenote.stores.redis import LARGEST_BYTES, RedisStore  # noqa: PLC0415  # the same
        from cenote.stores.spread import SpreadStore  # noqa: PLC0415  # the same
    except ModuleNotFoundError as error:
        raise MissingExtraError("A Redis or Valkey server", "redis") from error
    from cenote.invalidation.machine import prepare_directory  # noqa: PLC0415  # there, since the log is

    own, server = _split_query(url, parts)
    server_url = f"{SERVERS[parts.scheme]}://{parts.netloc}{parts.path}{'?' * bool(server)}{server}"
    lease = Lease(_number(url, own, "lease", LEASE_SECONDS))
    largest = int(_number(url, own, "max_value_bytes", LARGEST_BYTES))
    replicas = int(_number(url, own, "replicas", 0))
    agent = own.get("agent", "process")
    if agent not in ("process", "thread"):
        raise ConfigurationError(f"agent must be 'process' or 'thread', not {agent!r}")
    validate = own.get("validate", "lease")
    if validate not in ("lease", "always"):
        raise ConfigurationError(f"validate must be 'lease' or 'always', not {validate!r}")
    if validate == "lease" and not may_lease:
        raise ConfigurationError(
            "on this system no clock is known that counts while it is suspended, so a lease says nothing: add "
            "validate=always to the url"
        )
    unverified = Unverified(_number(url, own, "serve_unverified", 0.0))
    if unverified.seconds and validate == "always":
        raise ConfigurationError("serve_unverified counts from the end of a lease: it does not go with validate=always")
    link = Link(server_url, namespace)
    link.check()
    # Whatever the order of the hosts, and without passwords: the name of a file is for all to see. Who speaks TLS and
    # who does not have agents of their own: that of a wrong URL keeps nobody from a lease. Who holds leases and who
    # does not, and who serves copies unverified and who does not, have agents of different kinds, each with a mirror
    # of its own: what an agent says of its machine to others must hold for all who rely on its lease.
    hosts = ",".join(sorted(parts.netloc.rpartition("@")[2].lower().split(",")))
    said = re.sub(r"password=[^&]*", "", server)
    place = f"{hosts}:{parts.path}:{said}{':always' * (validate == 'always')}{':tls' * server_url.startswith('rediss')}"
    place += f":{unverified.seconds:g}" * bool(unverified.seconds)
    identity = hashlib.blake2b(place.encode(), digest_size=6)
    directory = Path(own["dir"]) if "dir" in own else _runtime_directory()
    if not directory.is_absolute():
        raise ConfigurationError(f"dir must be an absolute path, not {str(directory)!r}")
    real = prepare_directory(directory)
    ledger = Ledger(link, namespace)
    if link.in_cluster:
        ledger = SpreadLedger(link, namespace, [Link(server_url, tag) for tag in tags_of(namespace)])
    log = NetworkLog(
        ledger,
        server_url,
        real / f"{namespace}-{identity.hexdigest()}.cenote",
        lease,
        replicas=replicas,
        thread=agent == "thread",
        always=validate == "always",
        unverified=unverified,
    )
    store = (
        SpreadStore(ledger, log, SystemClock(), largest=largest)
        if isinstance(ledger, SpreadLedger)
        else RedisStore(ledger, log, SystemClock(), largest=largest)
    )

    def nothing(*_: object) -> None:
        """Do nothing: the server keeps what it has."""

    shared = SharedBackend(store, nothing, nothing, store.after_fork, store.close, nothing, nothing)
    return Backend("redis", log, shared, RemoteCore)


def _split_query(url: str, parts: SplitResult) -> tuple[dict[str, str], str]:
    """Return what the query says to Cenote, and what it says to redis-py."""
    try:
        fields = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError(f"the query cannot be read: {without_password(url)}") from None
    own = {}
    for name in ("agent", "dir", "lease", "max_value_bytes", "replicas", "serve_unverified", "validate"):
        values = fields.pop(name, [])
        if len(values) > 1:
            raise ConfigurationError(f"{name} stands twice in the query of the url")
        if values:
            own[name] = values[0]
    return own, urlencode(fields, doseq=True)


def _number(url: str, fields: dict[str, str], name: str, default: float) -> float:
    text = fields.get(name)
    try:
        found = default if text is None else float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1 << 31:
        raise ConfigurationError(f"{name} must be a number, not {text!r}, in {without_password(url)}")
    return found


def without_password(url: str) -> str:
    """Return a URL without what only the server must know."""
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"//[^/@]*@", "//***@", url))


def _runtime_directory() -> Path:
    """Return where this user's processes keep what they share while the machine runs."""
    found = os.environ.get("XDG_RUNTIME_DIR")
    if found and Path(found).is_dir():
        return Path(found) / "cenote"
    return Path(tempfile.gettempdir()) / f"cenote-{os.geteuid()}"


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
