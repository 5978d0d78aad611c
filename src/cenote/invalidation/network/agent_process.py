"""Where the agent runs: in a process of its own, so that no application's GIL or event loop delays what it says.

Where none can be started, as in a program that embeds Python, it may run as a thread. Whoever starts it hands it a
locked file; the lock ends with the process, and that is how others see that it is gone. What it is to do comes through
its standard input: a URL may hold a password, and arguments are for all to see.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from cenote.errors import CenoteError
from cenote.invalidation.network.agent import Agent
from cenote.invalidation.network.lease import Lease

__all__ = ["AgentThread", "lock_of", "member_name", "serve", "start_agent"]

_MODULE: Final = "cenote.invalidation.network.agent_process"


def member_name(lock: int) -> str:
    """Return what this machine is called; the locked file keeps the name, so that an agent takes a former one's place.

    Args:
        lock: A descriptor of the file, with its lock.
    """
    raw = os.pread(lock, 64, 0).decode("ascii", "replace")
    here = hashlib.blake2b(f"{os.fstat(lock).st_ino}:{_boot()}".encode(), digest_size=4).hexdigest()
    name, _, place = raw.partition("@")
    if place != here or not name:
        name = secrets.token_hex(8)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{name}@{here}".encode(), 0)
    return f"{socket.gethostname()[:40]}-{name}"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def start_agent(lock: int, told: dict[str, Any]) -> None:
    """Start an agent in a process of its own, in a session of its own.

    Args:
        lock: A descriptor with the lock that says that there is an agent; the caller closes its own.
        told: The arguments of Agent, the lease as ``seconds``.

    Raises:
        OSError: It cannot be started.
    """
    paths = os.pathsep.join(str(Path(path).absolute()) for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    told = {**told, "lock": lock}
    # Through two processes, so that nobody has to wait for the agent's end.
    source = (
        "import os, sys\n"
        "told = sys.stdin.buffer.read()\n"
        "if os.fork(): os._exit(0)\n"
        f"from {_MODULE} import serve\n"
        "serve(told)\n"
    )
    with subprocess.Popen(  # noqa: S603  # this very interpreter, and text of this module
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[lock],
        start_new_session=True,
        cwd="/",
        env=environment,
    ) as child:
        child.communicate(json.dumps(told).encode(), timeout=10.0)


class AgentThread:
    """The agent as a thread of this process, which holds its lock."""

    def __init__(self, lock: int, told: dict[str, Any]) -> None:
        """Start it.

        Args:
            lock: A descriptor with the lock that says that there is an agent; it is closed when the thread ends.
            told: As for ``start_agent``.
        """
        self._lock = lock
        self._path = Path(told["path"])
        self._agent = _agent(told, lock)
        self._thread = threading.Thread(target=self._run, name="cenote-agent", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._agent.run(lambda: _is_seen(self._lock, self._path))
        finally:
            os.close(self._lock)

    def after_fork(self) -> None:
        """In a forked child, where it does not run: leave the lock to the parent."""
        os.close(self._lock)

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._agent.stop()
        self._thread.join()


def _agent(told: dict[str, Any], lock: int) -> Agent:
    """Make the agent.

    Why one that begins a mirror is another member: who has a former file open, which its agent did not live to
    withdraw, relies on the former member's lease. A clear waits until that lapses, and no word of this one ends it.
    """
    told = dict(told)
    agent = Agent(path=Path(told.pop("path")), lease=Lease(told.pop("seconds")), **told)
    if agent.begins:
        os.ftruncate(lock, 0)
        agent.rename(member_name(lock))
    return agent


def lock_of(path: Path) -> Path:
    """Return the file whose lock says that a mirror has an agent."""
    return path.with_name(f"{path.name}.agent")


def _is_seen(lock: int, path: Path) -> bool:
    """Whether others find the lock: where its file was removed, they start another agent in this one's place."""
    try:
        return os.path.samestat(os.fstat(lock), lock_of(path).stat())
    except OSError:
        return False


def serve(raw: bytes) -> None:
    """Be the agent until nobody needs one."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    told = json.loads(raw)
    lock, path = told.pop("lock"), Path(told["path"])
    try:
        agent = _agent(told, lock)
    except CenoteError:
        os._exit(1)
    agent.run(lambda: not ended.is_set() and _is_seen(lock, path))
    os._exit(0)
