"""Small file systems in memory, for what happens on full disks and read-only ones."""

from __future__ import annotations

import contextlib
import subprocess


class MountingError(Exception):
    """Nothing can be mounted here."""


@contextlib.contextmanager
def mounted_in_memory(point, options):
    """Have a file system in memory mounted on a directory for a while.

    Raises:
        MountingError: That is not allowed here.
    """
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(point)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise MountingError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(point)], check=True)
