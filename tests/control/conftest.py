"""A control plane behind a real server, one for each module of tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
import uvicorn

from cenote import CacheManager
from cenote.control import ControlServer, Settings, create_app

API = "/api/system/cache"


@dataclass
class Live:
    """A server that runs in a thread of its own."""

    port: int
    server: uvicorn.Server
    thread: threading.Thread
    client: httpx.Client
    caches: CacheManager = field(default=None)

    def stop(self):
        self.client.close()
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive(), "the server did not stop"

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and return all that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(data)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@contextmanager
def serving(app, *, control: bool = True, headers: dict[str, str] | None = None) -> Iterator[Live]:
    """Serve an ASGI app on a port that the system chooses."""
    # asyncio switches Nagle's delay off only for sockets that name their protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    port = listener.getsockname()[1]
    config = uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=15)
    server = ControlServer(config, app) if control else uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, headers=headers)
    live = Live(port, server, thread, client)
    try:
        yield live
    finally:
        live.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Live]]:
    """Start further servers, which end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(caches: CacheManager, **settings) -> Live:
            headers = {"authorization": f"Bearer {settings['token']}"} if "token" in settings else None
            live = stack.enter_context(serving(create_app(caches, Settings(**settings)), headers=headers))
            live.caches = caches
            return live

        yield start


@pytest.fixture(scope="module")
def _module_live() -> Iterator[Live]:
    with CacheManager() as caches, serving(create_app(caches, Settings(heartbeat_seconds=0.2))) as live:
        live.caches = caches
        yield live


@pytest.fixture
def live(_module_live: Live) -> Live:
    """The module's server, its caches empty."""
    _module_live.caches.clear_all()
    return _module_live


@pytest.fixture
def http(live: Live) -> httpx.Client:
    return live.client


@pytest.fixture
def caches(live: Live) -> CacheManager:
    return live.caches
