"""The app of docs/howto/workers.md behind real servers with several worker processes."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE = 60.0
PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "workers.md"
APP = re.compile(r"<!-- file: shop\.py -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    """A port that nobody listens on, from below those that the system gives away by itself."""
    while True:
        port = random.randrange(12_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass
class Workers:
    """A running server, and what to ask it."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        # A connection of its own for each request, so that any worker may answer it.
        with httpx.Client(base_url=self.url, trust_env=False, timeout=PATIENCE) as http:
            return http.request(method, path, **options)

    def wait_until_ready(self) -> None:
        """Returns once the server answers."""
        end = time.monotonic() + PATIENCE
        pause = threading.Event()
        while True:
            with suppress(httpx.TransportError):
                if self.ask("GET", "/readyz").status_code == 200:
                    return
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < end, self.output.read_text()
            pause.wait(0.05)

    def of_every_worker(self, count: int) -> dict[int, dict[str, Any]]:
        """Asks for a price until so many workers have answered; returns the first answer of each."""
        found: dict[int, dict[str, Any]] = {}
        end = time.monotonic() + PATIENCE
        with ThreadPoolExecutor(8) as pool:
            while len(found) < count:
                assert time.monotonic() < end, f"only {list(found)} answered"
                for answer in pool.map(lambda _: self.ask("GET", "/price/dune"), range(32)):
                    assert answer.status_code == 200, answer.text
                    found.setdefault(answer.json()["worker"], answer.json())
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Workers]]:
    """Start a server with the howto's app; what still runs at the end of the test is killed, workers included."""
    shop = APP.search(PAGE.read_text())
    assert shop is not None
    (tmp_path / "shop.py").write_text(shop[1])
    started: list[Workers] = []

    def start(*command: str) -> Workers:
        port = free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith("CENOTE_")}
        env |= {"SHOP_CACHES": f"memory://{tmp_path}/caches", "PYTHONWARNINGS": "ignore"}
        output = tmp_path / "output.txt"
        with output.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *(part.replace("PORT", str(port)) for part in command)],
                cwd=tmp_path,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        workers = Workers(f"http://127.0.0.1:{port}", process, output)
        started.append(workers)
        workers.wait_until_ready()
        return workers

    yield start
    for workers in started:
        with suppress(ProcessLookupError):
            os.killpg(workers.process.pid, signal.SIGKILL)
        workers.process.wait(PATIENCE)
