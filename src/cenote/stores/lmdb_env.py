"""LMDB environments: one for each directory and process, shared by the stores that use it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from cenote.errors import ConfigurationError, MissingExtraError, StoreError, StoreFullError

try:
    import lmdb
except ImportError:
    lmdb = None  # type: ignore[assignment]  # the store says so when one is made

__all__ = ["Environment", "Tables", "as_store_error", "borrow", "forget_inherited", "lmdb", "translated"]

MAPPED: Final = hasattr(os, "posix_fallocate")
"""Whether to write through the map, which takes a third of the time: where blocks can be had beforehand."""

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
AHEAD_BYTES: Final = 1 << 20
SLACK_BYTES: Final = 1 << 21
CHANGES_BETWEEN_LOOKS: Final = 15
BYTES_OF_A_CHANGE: Final = 16 * PAGE_BYTES
MAX_READERS: Final = 1024
MAX_DATABASES: Final = 160
TABLES: Final = ("entries", "order", "expiry", "tags", "meta")


class Tables:
    """The databases of one namespace.

    Attributes:
        entries: Packed entries by their keys.
        order: Keys of entries by their turns: the one put first comes first.
        expiry: (end, turn) of the entries that end, by time.
        tags: (place, digest of the tag, turn), one row for each tag of an entry.
        meta: The stamp and the counters.
    """

    __slots__ = TABLES

    def __init__(self, opened: dict[str, Any]) -> None:
        for name in TABLES:
            setattr(self, name, opened[name])

    entries: Any
    order: Any
    expiry: Any
    tags: Any
    meta: Any

    def all(self) -> list[Any]:
        """Return the five databases."""
        return [getattr(self, name) for name in TABLES]


class Environment:
    """An open LMDB environment and how many stores use it."""

    __slots__ = ("_data", "_file", "_reserved", "_unlooked", "env", "map_size", "path", "pid", "users")

    def __init__(self, path: Path, map_size: int, *, inherited: bool) -> None:
        self.path = path
        self.map_size = map_size
        self.pid = os.getpid()
        self.users = 0
        self.env: Any = _open(path, map_size, inherited=inherited)
        self._data = os.fspath(path / "data.mdb")
        self._file = _identity(self._data)
        self._reserved = 0
        self._unlooked = CHANGES_BETWEEN_LOOKS
        self.env.reader_check()

    def reserve(self, fresh: int, changed: int) -> None:
        """Have the disk give the file its next blocks before they are written to; nobody else may write meanwhile.

        The file is written through its map, and a block that a full disk cannot give kills whoever touches it.

        Args:
            fresh: Bytes of values that are about to be written.
            changed: How many entries are about to be changed; each may have some pages written anew.

        Raises:
            OSError: The disk is full, or the file was removed or replaced: others may have another one open.
        """
        if _identity(self._data) != self._file:
            raise FileNotFoundError(errno.ENOENT, "it was removed or replaced; stop its processes")
        if not MAPPED:
            return
        if not fresh and changed == 1 and self._unlooked < CHANGES_BETWEEN_LOOKS:
            self._unlooked += 1
            return
        self._unlooked = 0
        used = (self.env.info()["last_pgno"] + 1) * PAGE_BYTES
        wanted = used + 2 * fresh + min(used, changed * BYTES_OF_A_CHANGE) + SLACK_BYTES
        if wanted <= self._reserved:
            return
        wanted = min(self.map_size, wanted)
        descriptor = os.open(self.path / "data.mdb", os.O_RDWR | os.O_CLOEXEC)
        try:
            ahead = min(self.map_size, wanted + max(AHEAD_BYTES, used // 8))
            try:
                os.posix_fallocate(descriptor, 0, ahead)
            except OSError:
                ahead = wanted
                os.posix_fallocate(descriptor, 0, ahead)
        finally:
            os.close(descriptor)
        self._reserved = ahead

    def tables(self, namespace: str) -> Tables:
        """Open the databases of a namespace, made when they are new; waits for a write that is under way.

        Handles opened in a reading transaction would be lost with it: lmdb never commits those.
        """
        with _lock, self.env.begin(write=True) as txn:
            return Tables({table: self.env.open_db(f"{namespace}/{table}".encode(), txn=txn) for table in TABLES})

    def give_back(self) -> None:
        """Close it when nobody else in this process uses it."""
        with _lock:
            if self.pid != os.getpid():
                return
            self.users -= 1
            if not self.users:
                _environments.pop(self.path, None)
                self.env.close()


_lock = threading.RLock()
_environments: dict[Path, Environment] = {}
_inherited: set[Path] = set()


def borrow(path: Path, map_size: int) -> Environment:
    """Return the environment of a directory; LMDB breaks when one file is opened twice in a process.

    Raises:
        MissingExtraError: The package lmdb is not installed.
        ConfigurationError: It is open already with another size.
        StoreError: It cannot be opened.
    """
    if lmdb is None:
        raise MissingExtraError("The LMDB store", "lmdb")
    path = path.resolve()
    if not path.is_dir():
        raise StoreError(f"the shared store cannot be opened: {path} is not a directory; make it, for its owner alone")
    with _lock:
        found = _environments.get(path)
        if found is None:
            with translated(path):
                found = _environments[path] = Environment(path, map_size, inherited=path in _inherited)
        elif found.map_size != map_size:
            raise ConfigurationError(
                f"{path} is open with map_size={found.map_size}, not {map_size}: a directory has one"
            )
        found.users += 1
        return found


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Let LMDB's errors leave as StoreError or StoreFullError."""
    try:
        yield
    except lmdb.Error as error:
        raise as_store_error(error, path) from error
    except OSError as error:
        raise as_store_error(error, path) from error


def as_store_error(error: Exception, path: Path) -> StoreError:
    """Return the error that users see in place of one of LMDB's."""
    file = path / "data.mdb"
    full = isinstance(error, lmdb.DiskError) or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
    if full:
        return StoreError(f"the disk of the shared store {file} is full; nothing was written: free space on it")
    if isinstance(error, OSError):
        return StoreError(
            f"the shared store {file} cannot be written to: {error.strerror or error}; nothing was written"
        )
    if isinstance(error, lmdb.MapFullError):
        return StoreFullError(f"the shared store {file} is full: raise map_size in every process that opens it")
    if isinstance(error, lmdb.BadValsizeError):
        return StoreFullError(f"the shared store {file} cannot take this key: {error}")
    if isinstance(error, lmdb.ReadersFullError):
        return StoreError(f"the shared store {file} has {MAX_READERS} reads under way: use fewer processes or threads")
    if isinstance(error, _damage()):
        return StoreError(f"the shared store {file} is damaged ({error}): stop its processes and remove the directory")
    return StoreError(f"the shared store {file} cannot be used: {error}")


def forget_inherited() -> None:
    """In a forked child, let go of the parent's environments without closing them; does nothing elsewhere.

    To close one, or to let it be freed, would end the reads that the parent's threads have under way in the table of
    readers, which both share. So they are kept for ever.
    """
    global _lock  # noqa: PLW0603  # the parent's lock may have been held by a thread that the child does not have
    pid = os.getpid()
    stale = [found for found in _environments.values() if found.pid != pid]
    if not stale:
        return
    _lock = threading.RLock()
    for found in stale:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(found.env))
        _inherited.add(found.path)
        del _environments[found.path]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget_inherited)


def _damage() -> tuple[type[Exception], ...]:
    return lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.PanicError, lmdb.InvalidError, lmdb.VersionMismatchError


def _identity(file: str) -> tuple[int, int]:
    """Return what tells a file from another one that has its path later."""
    found = os.stat(file)  # noqa: PTH116  # on every change, and a Path takes four times as long
    return found.st_dev, found.st_ino


def _open(path: Path, map_size: int, *, inherited: bool) -> Any:
    if inherited:
        _identity(
            os.fspath(path / "data.mdb")
        )  # the parent has it open; made anew it would be a second one beside that
    with _guard_of_this_process() if inherited else contextlib.nullcontext():
        return lmdb.open(
            os.fspath(path),
            map_size=map_size,
            sync=False,
            metasync=False,
            writemap=MAPPED,
            map_async=MAPPED,
            mode=0o600,
            max_readers=MAX_READERS,
            max_dbs=MAX_DATABASES,
            max_spare_txns=1,
        )


@contextlib.contextmanager
def _guard_of_this_process() -> Iterator[None]:
    """Let lmdb open a file that only the parent process has open.

    lmdb refuses a second environment of one file in a process, rightly, but takes the environment that a forked child
    has inherited for the child's own.
    """
    try:
        from lmdb import _envid as identity  # noqa: PLC0415  # only the releases from 3.0 on have it
    except ImportError:
        yield
        return
    common = identity.env_keys

    def own(path: Any, subdir: Any) -> tuple[Any, ...]:
        return tuple((os.getpid(), key) for key in common(path, subdir))  # type: ignore[no-untyped-call]  # lmdb's own, untyped

    identity.env_keys = own
    try:
        yield
    finally:
        identity.env_keys = common
