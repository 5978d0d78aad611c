"""One browser, and one server for each module, which is a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests.waiting import wait_until

HERE = Path(__file__).parent
PATIENCE = 20_000
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WATCH = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


class Server:
    """``cenote serve`` with one of the applications here.

    Args:
        app: The module.
        url: Where its entries live.
        **settings: Environment variables, without their prefix.
    """

    def __init__(self, app: str, *, url: str = "memory://", **settings: str) -> None:
        self._app = app
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CENOTE_")}
        path = os.pathsep.join([str(HERE), clean.get("PYTHONPATH", "")])
        given = {f"CENOTE_{name.upper()}": value for name, value in settings.items()}
        self._environment = clean | {"PYTHONPATH": path, "SHOP_URL": url} | given
        self._token = settings.get("token")
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start, on the port that it had before if it had one."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "cenote", "serve", "--app", f"{self._app}:caches"),
                *("--port", str(self.port), "--json"),
            ],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.port = int(self.url.rpartition(":")[2])
        headers = {"authorization": f"Bearer {self._token}"} if self._token else None
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=30, headers=headers)

    def stop(self, *, kill: bool = False) -> None:
        self.http.close()
        (self.process.kill if kill else self.process.terminate)()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def put(self, key: str, service: str | None = None, tags: list[str] | None = None) -> None:
        query = {"key": key} | ({"serviceName": service} if service else {})
        answer = self.http.put("/api/system/cache/entries/", params=query, json={"value": 1, "tags": tags or []})
        assert answer.status_code == 200, answer.text

    def until_read(self, service: str) -> None:
        """Return once the keys of a service were read so often that some of them are hot."""
        while not self.http.get("/api/system/cache/detail", params={"serviceName": service}).json()["topKeys"]:
            pass

    def until_foretold(self, service: str) -> None:
        """Return once enough was seen of a service to say what a clear of it costs."""
        body = {"serviceName": service, "maxItems": 0}
        wait_until(lambda: self.http.post("/api/system/cache/clear/preview", json=body).json()["prediction"], 60)

    def count(self, service: str) -> int:
        answer = self.http.get("/api/system/cache/detail", params={"serviceName": service})
        return int(answer.json()["currentSize"])


@contextmanager
def served(app: str, *, url: str = "memory://", **settings: str) -> Iterator[Server]:
    server = Server(app, url=url, **settings)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def client_of(app: Any) -> Iterator[httpx.Client]:
    """Serve an app in a thread of this process, and yield a client of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with httpx.Client(base_url=address, trust_env=False, timeout=20) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def shop() -> Iterator[Server]:
    """A busy application without a token."""
    with served("shop") as server:
        yield server


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Leave out what needs a browser where there is none; where tests must be whole they fail."""
    if PROGRAM is None and not os.environ.get("CI"):
        left = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    assert PROGRAM is not None, "no browser: install chromium"
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield running
        running.close()


class Visits:
    """The pages that a test opens, and what it allows them to complain of."""

    def __init__(self, browser: Any, stack: ExitStack) -> None:
        self._browser = browser
        self._stack = stack
        self.complaints: list[str] = []
        self.allowed: list[str] = []

    def __call__(self, server: Server, place: str = "", *, width: int = 1280, scheme: str = "light") -> Any:
        context = self._browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce"
        )
        self._stack.callback(context.close)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(WATCH)
        page = context.new_page()
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.on("pageerror", lambda error: self._hear("error", str(error)))
        page.goto(f"{server.url}/{place}")
        return page

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(re.search(each, text) for each in self.allowed)]


@pytest.fixture
def visit(browser: Any) -> Iterator[Visits]:
    """Open pages; a test fails when one of them writes an error to its console, or breaks its policy."""
    with ExitStack() as stack:
        visits = Visits(browser, stack)
        yield visits
    assert visits.unexpected() == []


@pytest.fixture
def allow(visit: Visits) -> Callable[[str], None]:
    """Say which complaints of the browser are part of the test."""
    return visit.allowed.append
