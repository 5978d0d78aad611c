"""A server of our own: its socket, its thread and its end."""

from __future__ import annotations

import errno
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from cenote.cli.failures import CannotStart, WrongUsage
from cenote.control import ControlServer

__all__ = ["HostedServer", "listen", "stop_signals"]

_GRACE = 3
_STOP_WITHIN = 10.0


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Args:
        host: A name or an address of this machine.
        port: 0 takes any free one.

    Raises:
        CannotStart: The port is taken, or may not be used.
        WrongUsage: The host is not an address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise WrongUsage(f"--host {host}: no such address ({error})") from error
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise CannotStart(_why_not(host, port, error)) from error
    sock.set_inheritable(False)
    return sock


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program; choose another one with --port."
    if error.errno == errno.EACCES:
        return f"Port {port} on {host} may not be used by this user; choose one above 1023 with --port."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine."
    return f"Cannot listen on {host}, port {port}: {error.strerror or error}."


class HostedServer:
    """An ASGI application served by a thread of its own, so that the main thread is free for signals.

    Args:
        app: The control plane, as ``create_app`` makes it.
        sock: The socket to serve, listening already.
    """

    def __init__(self, app: FastAPI, sock: socket.socket) -> None:
        host, port = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}"
        self._sock = sock
        self._ready = threading.Event()
        config = uvicorn.Config(
            app,
            log_level="warning",
            log_config=None,  # what it logs goes where all logs go
            access_log=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_GRACE,
        )
        self._server = _Server(config, app, self._ready)
        self._thread = threading.Thread(target=self._run, name="cenote-server", daemon=True)
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Start serving; returns once the application is up.

        Raises:
            CannotStart: The application did not start.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None or not self._server.started:
            raise CannotStart(f"The server did not start: {self._failure or 'see the lines above'}.")

    def stop(self) -> None:
        """Stop serving: requests under way get a moment, open streams are cut."""
        self._server.should_exit = True
        self._thread.join(_STOP_WITHIN)

    def wait(self, stopping: threading.Event) -> None:
        """Return when asked to stop, or when the server has ended by itself."""
        while self._thread.is_alive() and not stopping.wait(1.0):
            pass

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._sock])
        except (Exception, SystemExit) as error:  # noqa: BLE001 - start() tells it to the person
            self._failure = error
        finally:
            self._ready.set()


class _Server(ControlServer):
    """A server that says when it has started."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, ready: threading.Event) -> None:
        super().__init__(config, app)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set()


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event that is set; a second one ends the process at once."""
    stopping = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopping.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
