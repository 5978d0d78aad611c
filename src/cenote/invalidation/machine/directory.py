"""The directory that processes of one machine share: whose it is, who may enter, on what file system it lies."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from cenote.errors import ConfigurationError

__all__ = ["FILE_SYSTEMS", "file_system_of", "prepare_directory"]

FILE_SYSTEMS: Final = frozenset(
    {"apfs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "hfs", "overlay", "tmpfs", "xfs", "zfs"}
)
"""File systems on which a shared mapping is one memory for all processes, and locks end with their holders.

It is a list of what is known to work: over a network, FUSE, 9p or virtiofs one or the other does not hold.
"""


def prepare_directory(path: Path) -> Path:
    """Make the directory if it is not there, and make sure that nobody else can write to it.

    Args:
        path: An absolute path.

    Returns:
        The path without symbolic links.

    Raises:
        ConfigurationError: It cannot be made, is somebody else's, is open to others, or lies on a file system that is
            not known to work.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        real = path.resolve(strict=True)
        status = real.stat()
    except OSError as error:
        raise ConfigurationError(f"the directory {path} cannot be used: {error.strerror or error}") from error
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"the directory {real} belongs to user {status.st_uid}, and this process runs as {os.geteuid()}; "
            "all processes that share caches must run as its owner"
        )
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(f"the directory {real} is open to other users; run chmod 700 {real}")
    kind = file_system_of(real)
    if kind not in FILE_SYSTEMS:
        raise ConfigurationError(
            f"the directory {real} lies on {kind or 'an unknown file system'}, where shared memory and locks are not "
            f"known to work; use one on {', '.join(sorted(FILE_SYSTEMS))}"
        )
    return real


def file_system_of(path: Path) -> str | None:
    """Return the type of the file system that a directory lies on; None when it cannot be told."""
    if sys.platform == "linux":
        return _from_mountinfo(path, Path("/proc/self/mountinfo"))
    try:
        listed = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    # A line reads: device, "on", point, and in parentheses the type and its options.
    mounts = [line.partition(" on ")[2].rpartition(" (") for line in listed.splitlines()]
    return _deepest(path, [(point, kind.partition(",")[0]) for point, _, kind in mounts])


def _from_mountinfo(path: Path, source: Path) -> str | None:
    try:
        lines = source.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    mounts = []
    for line in lines:
        fields, _, behind = line.partition(" - ")
        point = fields.split(" ")[4]
        # Spaces and the like are written as \040.
        plain = point.encode("latin-1", "surrogateescape").decode("unicode_escape") if "\\" in point else point
        mounts.append((plain, behind.partition(" ")[0]))
    return _deepest(path, mounts)


def _deepest(path: Path, mounts: list[tuple[str, str]]) -> str | None:
    """Return the type of the mount that a path lies in; of several at one point, the last one is on top."""
    found: tuple[int, str] | None = None
    for point, kind in mounts:
        if path.is_relative_to(point) and (found is None or len(Path(point).parts) >= found[0]):
            found = (len(Path(point).parts), kind)
    return None if found is None else found[1]
