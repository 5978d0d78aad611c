"""Processes of one machine, started, ordered about, stopped and killed by a test."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import weakref
from multiprocessing.connection import Connection
from pathlib import Path

from tests.waiting import wait_until

WORKER = Path(__file__).with_name("worker.py")
PATIENCE = 30.0
"""Seconds after which a worker is taken for hanging."""

OPEN = """
from cenote import CacheManager, ClearFailedError
caches = CacheManager({url!r})
cache = caches.service("shop")
"""


class HangingError(AssertionError):
    """A worker did not answer; the message holds the stacks of its threads."""


class Forked:
    """A worker that a process with the library already imported has forked; it has what a ``subprocess.Popen`` has."""

    _forking = None
    _lock = threading.Lock()

    def __init__(self, connection):
        """Have it forked, with its end of a connection."""
        readable, writable = os.pipe()
        with self._lock:
            if Forked._forking is None:
                ours, theirs = socket.socketpair()
                command = [sys.executable, WORKER, "--fork", str(theirs.fileno())]
                parent = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
                theirs.close()
                Forked._forking = parent, ours, Connection(os.dup(ours.fileno()))
            _, requests, answers = Forked._forking
            socket.send_fds(requests, [b"+"], [connection.fileno(), writable])
            answers.send((dict(os.environ), Path.cwd()))
            self.pid = answers.recv()
        os.close(writable)
        self._descriptor = os.pidfd_open(self.pid)
        weakref.finalize(self, os.close, self._descriptor)
        self.stderr = os.fdopen(readable, "rb")

    def send_signal(self, number):
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, number)

    def kill(self):
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def poll(self):
        """Return None until it has ended."""
        return 0 if select.select([self._descriptor], [], [], 0)[0] else None

    def wait(self, timeout):
        """Wait until it has ended."""
        if not select.select([self._descriptor], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return 0

    def communicate(self, timeout):
        """Wait until it has ended, and return what it has written."""
        self.wait(timeout)
        return b"", self.stderr.read()


class Process:
    """Another process. What it runs sees ``caches``, a manager of the directory, and ``cache``, its service "shop"."""

    def __init__(self, url=None, setup="", within=()):
        """Start it; ``within`` is what its command begins with."""
        ours, theirs = socket.socketpair()
        if within:
            command = [*within, sys.executable, WORKER, str(theirs.fileno())]
            how = {"pass_fds": [theirs.fileno()], "stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            self._process = subprocess.Popen(command, **how)
        else:
            self._process = Forked(theirs)
        theirs.close()
        self.pid = self._process.pid
        self._connection = Connection(ours.detach())
        if url is not None:
            self.do(OPEN.format(url=url))
        if setup:
            self.do(setup)

    def tell(self, statements):
        """Have it run statements, and do not wait; ``answer`` does."""
        self._connection.send(("do", textwrap.dedent(statements)))

    def do(self, statements):
        """Have it run statements."""
        self.tell(statements)
        self.answer()

    def ask(self, expression):
        """Return what an expression is worth there."""
        self._connection.send(("ask", expression))
        return self.answer()

    def answer(self, patience=PATIENCE):
        """Return what it answers to the last order, or raise what that raised there."""
        if not self._connection.poll(patience):
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGABRT)
            _, stacks = self._process.communicate(timeout=10)
            raise HangingError(f"process {self.pid} does not answer\n{stacks.decode()}")
        kind, answer = self._connection.recv()
        if kind == "raise":
            raise answer
        return answer

    @property
    def answered(self):
        """Whether it has answered the last order."""
        return self._connection.poll(0)

    def send(self, message):
        """Send something that a running order receives from ``connection``."""
        self._connection.send(message)

    def receive(self, patience=PATIENCE):
        """Receive what a running order sends through ``connection``."""
        if not self._connection.poll(patience):
            return self.answer(0)
        return self._connection.recv()

    def kill(self):
        """Kill it, as kill -9 does."""
        self._process.kill()
        self._process.wait(10)

    def stop(self):
        """Stop it, as SIGSTOP does, and wait until it is stopped."""
        self._process.send_signal(signal.SIGSTOP)
        wait_until(lambda: state_of(self.pid) == "T")

    def resume(self):
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def end(self):
        """Hang up; it ends by itself, or is killed."""
        self.resume()
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        if self._process.stderr is not None:
            self._process.stderr.close()


def state_of(pid):
    """Return the letter that the system has for the state of a process."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def forked(child, *, patience=PATIENCE):
    """Run a function in a forked child, and return its exit code; one that hangs is killed, and that is an error."""
    pid = os.fork()
    if not pid:
        code = 99
        try:
            code = child() or 0
        finally:
            os._exit(code)
    return reap(pid, patience=patience)


def reap(pid, *, patience=PATIENCE):
    """Wait for a child of this process, and return its exit code."""
    if not ends(pid, patience=patience):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise HangingError(f"the forked process {pid} does not end")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ends(*pids, patience):
    """Return whether one of several children of this process ends within so many seconds."""
    with contextlib.ExitStack() as files:
        watched = [os.pidfd_open(pid) for pid in pids]
        for descriptor in watched:
            files.callback(os.close, descriptor)
        return bool(select.select(watched, [], [], patience)[0])
