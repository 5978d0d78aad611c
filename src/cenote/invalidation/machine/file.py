"""The shared file: made whole by whoever comes first, mapped by all, given up when it is damaged or replaced.

A file is written under another name, with all its blocks allocated, and then linked to its own: nobody ever sees half
of one. It is never shrunk and never renamed over. A damaged one is unlinked and another made; whoever had it open
notices that the path leads elsewhere, and until all must have noticed nobody who uses the new one may call a clear
done.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import mmap
import os
import secrets
import stat
import threading
import time
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cenote.errors import ConfigurationError
from cenote.invalidation.machine.layout import (
    CLAIMS,
    COUNTERS,
    FILE_BYTES,
    HEAD,
    KEY_RECORDS,
    MAGIC,
    PROCESSES,
    RECORDS,
    SERVICES,
    VERSION,
)
from cenote.invalidation.machine.lock import LOCK_SECONDS, FileLock, LockBusyError, flock_within

__all__ = ["SharedFile", "discard", "forget_inherited", "hold_registry", "open_shared"]

logger = logging.getLogger("cenote")

_GEOMETRY: Final = (SERVICES, PROCESSES, COUNTERS, RECORDS, KEY_RECORDS, CLAIMS, 0, 0)
_CRC_BYTES: Final = 4
_HEAD_BYTES: Final = HEAD.size + _CRC_BYTES
_TEMPORARY: Final = ".new-"


class SharedFile:
    """A mapped file, one for all that this process does with it.

    Attributes:
        path: Where it is.
        words: The file as 8-byte words.
        bytes: The file as bytes.
        incarnation: 128 random bits in hexadecimal, made with the file.
        made_at: When that was, in seconds of the machine's monotonic clock.
        lock: One writer on the machine.
        places: The numbers of processes' places that this process holds; its own locks do not conflict there.
    """

    def __init__(self, path: Path, descriptor: int, head: bytes) -> None:
        """Map an open file whose head was found good."""
        self.path = path
        self.descriptor = descriptor
        # A descriptor of its own: the map keeps a duplicate of the other one, which a forked child cannot close, and a
        # duplicate would keep the parent's lock beyond the parent's death.
        self._lock_descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)
        # One map while any is alive: the descriptor inside it is closed with it, and that ends all locks that this
        # process has on bytes of the file, a later manager's too.
        self._map = _maps.get(self._identity) or mmap.mmap(descriptor, FILE_BYTES)
        _maps[self._identity] = self._map
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")
        fields = HEAD.unpack_from(head)
        self.incarnation = fields[3].hex()
        self.made_at = fields[5] / 1e9
        self.lock = FileLock(self._lock_descriptor, str(path))
        self.places: set[int] = set()
        self.users = 0

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to this file."""
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def release(self) -> None:
        """End one use of the file; the last one closes it. Views that somebody still reads keep the memory mapped."""
        with _registry_lock:
            self.users -= 1
            if self.users:
                return
            if _open.get(self.path) is self:
                del _open[self.path]
        self.close()

    def close(self) -> None:
        """Close the descriptors; whatever this process had locked by them is unlocked, in a forked child nothing is."""
        self.lock.retire(self._close)

    def _close(self) -> None:
        for descriptor in (self.descriptor, self._lock_descriptor):
            with contextlib.suppress(OSError):
                os.close(descriptor)


_open: dict[Path, SharedFile] = {}
_maps: weakref.WeakValueDictionary[tuple[int, int], mmap.mmap] = weakref.WeakValueDictionary()
_registry_lock = threading.Lock()


def open_shared(path: Path) -> SharedFile:
    """Open the file, making it if it is not there or is damaged.

    A process opens a file once, however many use it: closing one of two descriptors would end the locks of both.

    Raises:
        ConfigurationError: It has another format version, is somebody else's, or cannot be made.
    """
    with _registry_lock:
        found = _open.get(path)
        if found is None or not found.in_place:
            found = _open[path] = _open_or_make(path)
        found.users += 1
        return found


def discard(file: SharedFile) -> None:
    """Unlink a file that is damaged or left behind: who opens the path next makes another; all who use it notice."""
    with _directory_lock(file.path.parent):
        if file.in_place:
            logger.warning("%s is given up; a new one is made, and all that was cached is forgotten", file.path)
            file.path.unlink(missing_ok=True)


def forget_inherited() -> None:
    """Close, in a forked child, what the parent has open: its locks stay the parent's."""
    global _registry_lock  # noqa: PLW0603  # its holder may not exist in the child
    _registry_lock = threading.Lock()
    for file in _open.values():
        file.close()
    _open.clear()


def hold_registry() -> threading.Lock:
    """Return the lock under which files are opened, to be held while the process forks."""
    return _registry_lock


def _open_or_make(path: Path) -> SharedFile:
    try:
        with _directory_lock(path.parent):
            while True:
                descriptor = _open_existing(path)
                if descriptor is None:
                    _make(path)
                    continue
                try:
                    head = os.pread(descriptor, _HEAD_BYTES, 0)
                    damage = _damage_of(path, descriptor, head)
                    if damage is None:
                        return SharedFile(path, descriptor, head)
                except BaseException:
                    os.close(descriptor)
                    raise
                os.close(descriptor)
                logger.warning(
                    "%s cannot be used: %s; a new one is made, and all that was cached is forgotten", path, damage
                )
                path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened or made: {error.strerror or error}") from error


@contextlib.contextmanager
def _directory_lock(directory: Path) -> Iterator[None]:
    """Let one process at a time make or discard files there."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not flock_within(descriptor, LOCK_SECONDS):
            raise LockBusyError(f"the directory {directory}")
        yield
    finally:
        os.close(descriptor)


def _open_existing(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigurationError(f"{path} is a symbolic link; remove it") from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
        os.close(descriptor)
        raise ConfigurationError(f"{path} is no file of this user's own with mode 600; remove it")
    return descriptor


def _damage_of(path: Path, descriptor: int, head: bytes) -> str | None:
    """Return why a file cannot be used, or None.

    Raises:
        ConfigurationError: It is sound, but of another version.
    """
    if len(head) < _HEAD_BYTES or head[: len(MAGIC)] != MAGIC:
        return "it does not begin as such a file does"
    _, version, size, _, boot, _, place, *geometry = HEAD.unpack_from(head)
    if zlib.crc32(head[: HEAD.size]) != int.from_bytes(head[HEAD.size : _HEAD_BYTES], "little"):
        return "its head is damaged"
    if version != VERSION:
        raise ConfigurationError(
            f"{path} has format version {version}, and this release of Cenote uses {VERSION}: let processes of one "
            "release share a directory, or give each release its own"
        )
    if tuple(geometry) != _GEOMETRY or size != FILE_BYTES:
        return "its geometry is another"
    if os.fstat(descriptor).st_size != FILE_BYTES:
        return "it is truncated"
    if place != _place_of(path, descriptor):
        return "it was made for another place"
    if boot != _boot():
        return "the machine was restarted since"
    return None


def _make(path: Path) -> None:
    """Make a complete file, and give it its name only then."""
    for left in path.parent.glob(f"{path.name}{_TEMPORARY}*"):
        left.unlink(missing_ok=True)
    temporary = path.with_name(f"{path.name}{_TEMPORARY}{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _allocate(descriptor)
        now = time.monotonic_ns()
        place = _place_of(path, descriptor)
        head = HEAD.pack(MAGIC, VERSION, FILE_BYTES, secrets.token_bytes(16), _boot(), now, place, *_GEOMETRY)
        os.pwrite(descriptor, head + zlib.crc32(head).to_bytes(_CRC_BYTES, "little"), 0)
        os.link(temporary, path)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _allocate(descriptor: int) -> None:
    """Really allocate the blocks: a hole that cannot be filled later kills whoever touches it."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, FILE_BYTES)
        return
    for offset in range(0, FILE_BYTES, 1 << 20):
        os.pwrite(descriptor, bytes(min(1 << 20, FILE_BYTES - offset)), offset)


def _place_of(path: Path, descriptor: int) -> int:
    """Return what tells a file from its copies, and from one that was moved here.

    Such a file may be older than its coming here, so that nobody would wait for those who had another one open.
    """
    return zlib.crc32(os.fsencode(path.name)) << 32 | os.fstat(descriptor).st_ino & 0xFFFFFFFF


def _boot() -> bytes:
    """Return what tells one start of the machine from another; zeros where nothing does."""
    try:
        return bytes.fromhex(
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip().replace("-", "")
        )
    except (OSError, ValueError):
        return bytes(16)
