"""Real servers: Debian's redis-server, and the Valkey that a package brings; started, paused, killed by a test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from cenote.cli.private_server import server_program

PATIENCE = 20.0


def binary(kind):
    """Return the path of a server's program, as the demonstration finds it; None when it is not here."""
    return server_program(kind)


def free_port():
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One server, in a directory of its own, behind a socket file and a port."""

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
        self._lines += ["save ''", "enable-debug-command yes", f"logfile {self.directory}/log"]
        self._lines += ["appendonly yes", "appendfsync always"] if keep else []
        self._lines += lines
        self._process = None

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

    def start(self):
        """Start it and wait until it answers."""
        (self.directory / "conf").write_text("\n".join(self._lines) + "\n")
        self._process = subprocess.Popen(
            [binary(self.kind), str(self.directory / "conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.wait()
        return self

    def wait(self):
        """Wait until it answers."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with self.client() as client:
                    client.ping()
            except redis.exceptions.AuthenticationError:
                return  # an answer, too
            except redis.exceptions.RedisError:
                pass
            else:
                return
            if self._process.poll() is not None or time.monotonic() > end:
                log = self.directory / "log"
                raise AssertionError(f"no server: {log.read_text() if log.exists() else 'it wrote nothing'}")
            time.sleep(0.005)

    def client(self):
        """Return a client of the test's own."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=PATIENCE)

    def kill(self):
        """Kill it, as kill -9 does."""
        self._process.kill()
        self._process.wait(10)

    def pause(self):
        """Stop it, as SIGSTOP does."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        """Kill it and remove what it wrote."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self if self._process is not None else self.start()

    def __exit__(self, *reason):
        self.close()


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
