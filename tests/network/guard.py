"""A watchdog: kills the servers of a test process that died without stopping them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

# Reads "+pid" and "-pid" a line, until the other end of the pipe is gone.
WATCH = """
import contextlib, os, signal, sys
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for pid in alive:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
"""


class Guard:
    """The watchdog of this process, started with its first server.

    A signal at the parent's death (prctl) would follow the thread that started the server, and only on Linux.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._process = None
        self._owner = 0

    def _tell(self, line):
        with self._lock:
            if self._owner != os.getpid():
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", WATCH], stdin=subprocess.PIPE, start_new_session=True
                )
                self._owner = os.getpid()
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def watch(self, pid):
        """Have a process killed when this one ends."""
        self._tell(f"+{pid}")

    def release(self, pid):
        """Forget a process that has ended; its number may be given to another one."""
        self._tell(f"-{pid}")


GUARD = Guard()
