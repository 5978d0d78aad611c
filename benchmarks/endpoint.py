"""HTTP: a clear of an empty cache against a bare FastAPI endpoint with the same models, in one server.

The server is a process of its own: uvicorn over one ASGI function that hands a request to the control plane's app, to
a bare FastAPI app, or to an answer of fixed bytes, by its path. The client keeps a few connections alive, writes the
next request when the whole answer is there, and looks only at the status and the length.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.child import ChildFailedError
from benchmarks.report import Section, Target
from benchmarks.settings import ROOT, Plan, usable_cores

CONNECTIONS = 8
BODY = b"{}"
CONTROL = "/api/system/cache/clear"
BARE = "/bare/system/cache/clear"
RAW = "/raws/system/cache/clear"
ROWS = {"bare FastAPI endpoint": BARE, "cenote, clear of an empty cache": CONTROL, "fixed bytes, plain ASGI": RAW}
ANSWER = (
    b'{"status":"success","message":"Successfully cleared global cache","clearedItems":[],'
    b'"timestamp":"2025-02-01T10:30:00.000000Z","success":true,"entriesCleared":0,"level":"process",'
    b'"clearId":"0123456789abcdef","itemsTruncated":false,"durationMs":0.01}'
)


def serve(port: int) -> None:
    """Serve the three endpoints until the process is ended."""
    import uvicorn
    from fastapi import FastAPI

    from cenote import CacheManager
    from cenote.control import create_app
    from cenote.control.schemas import CacheClearRequest, CacheClearResponse

    bare = FastAPI()

    async def clear(request: Any) -> Any:
        return CacheClearResponse(
            status="success",
            message="Successfully cleared global cache",
            cleared_items=[],
            timestamp="2025-02-01T10:30:00.000000Z",
            success=True,
            entries_cleared=0,
            level="process",
            clear_id="0123456789abcdef",
            items_truncated=False,
            duration_ms=0.01,
        )

    # Written as annotations these would be text, and the names are local to this function.
    clear.__annotations__ = {"request": CacheClearRequest, "return": CacheClearResponse}
    bare.post(BARE)(clear)

    control: Any = create_app(CacheManager())

    async def raw(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        chosen = bare if path.startswith("/bare/") else raw if path.startswith("/raws/") else control
        await chosen(scope, receive, send)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off")


class Connection(asyncio.Protocol):
    """One connection: it repeats one request until told to stop."""

    def __init__(self) -> None:
        self._buffer = b""
        self.transport: Any = None
        self.request = b""
        self.done = 0
        self.running = False
        self.error: str | None = None
        self.idle: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def begin(self, request: bytes) -> asyncio.Future[None]:
        self.request, self.done, self.running = request, 0, True
        self.idle = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.idle

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = self._buffer[:head].lower()
        place = lower.find(b"content-length:")
        length = int(lower[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(self._buffer) < head + 4 + length:
            return
        if not lower.startswith(b"http/1.1 200"):
            self._end(self._buffer[: head + 4 + length].decode("latin-1"))
            return
        self._buffer = b""
        self.done += 1
        if self.running:
            self.transport.write(self.request)
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(f"connection lost: {error}")

    def _end(self, error: str | None) -> None:
        self.error = error
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)


def _request(path: str, port: int) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return (head + f"Content-Length: {len(BODY)}\r\n\r\n").encode() + BODY


async def _measure(port: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(CONNECTIONS):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        connections.append(connection)
    rates: dict[str, list[float]] = {name: [] for name in ROWS}
    for turn in range(rounds + 1):
        for name, path in ROWS.items():
            begin = time.perf_counter()
            waiting = [connection.begin(_request(path, port)) for connection in connections]
            await asyncio.sleep(seconds)
            for connection in connections:
                connection.running = False
            await asyncio.wait_for(asyncio.gather(*waiting), 10)
            took = time.perf_counter() - begin
            for connection in connections:
                if connection.error:
                    raise ChildFailedError(f"{name}: {connection.error[:300]!r}")
            if turn:  # the first is to warm up
                rates[name].append(sum(connection.done for connection in connections) / took)
    for connection in connections:
        connection.transport.close()
    return rates


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if process.poll() is not None:
            lines = (process.communicate()[1] or "").strip().splitlines()
            raise ChildFailedError(f"the server did not start: {lines[-1] if lines else process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ChildFailedError(f"the server did not answer on port {port}")


def endpoint(plan: Plan) -> Section:
    """Requests a second of both endpoints."""
    section = Section("http", "A clear over HTTP")
    try:
        import uvicorn
        from uvicorn.protocols.http.auto import AutoHTTPProtocol

        import cenote.control  # noqa: F401  # only the server uses it
    except ImportError as error:
        section.missing.append(f"the HTTP clear needs {error.name}, which is not installed; `make bench` installs it")
        return section
    port = plan.port or _free_port()
    command = [sys.executable, "-c", f"from benchmarks.endpoint import serve; serve({port})"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        _wait_for(process, port)
        rates = asyncio.run(_measure(port, 5 if plan.quick else 15, 0.2 if plan.quick else 0.4))
    finally:
        process.terminate()
        process.communicate()
    base = statistics.median(rates["bare FastAPI endpoint"])
    rows = [["", "requests/s", "quartiles", "x bare"]]
    for name, found in rates.items():
        low, middle, high = statistics.quantiles(found, n=4)
        rows.append([name, f"{middle:,.0f}", f"{low:,.0f} .. {high:,.0f}", f"{middle / base:.2f}"])
    section.tables.append(rows)
    section.notes = [
        (
            f"One uvicorn {uvicorn.__version__} process ({AutoHTTPProtocol.__name__}, one worker) serves all three "
            "over loopback, in turn; both FastAPI apps take and give the same models, `async def`. The client is this "
            f"module's own asyncio protocol with {CONNECTIONS} connections kept alive; that fixed bytes are answered "
            "faster shows that it is not the "
            f"brake{'' if usable_cores() > 1 else ', though here it shares the only core with the server'}. Each clear "
            "appends to the log, swaps the State, and writes the audit trail."
        )
    ]
    ours = statistics.median(rates["cenote, clear of an empty cache"])
    section.targets.append(
        Target("HTTP clear of an empty cache / bare endpoint, requests/s", 0.6, ours / base, at_least=True)
    )
    return section
