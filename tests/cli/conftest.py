"""Real commands and real servers, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import httpx
import pytest

PATIENCE = 60.0

# A shell that starts the tests in the background has them, and their children, ignore Ctrl-C.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from cenote.cli import main
main()
"""


def environment(**extra: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CENOTE_")}
    if "PYTHONPATH" in clean:
        # A relative path means nothing in the folder that a test gives its command.
        clean["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, clean["PYTHONPATH"].split(os.pathsep)))
    return clean | {"NO_COLOR": "1", "COLUMNS": "80"} | extra


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        (line,) = self.out.splitlines()
        return json.loads(line)


class Running:
    """A command that runs; its lines are awaited, never slept for."""

    def __init__(
        self, *arguments: str, env: dict[str, str] | None = None, cwd: str | None = None, program: str = PROGRAM
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**(env or {})),
            cwd=cwd,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._queues: tuple[Queue[str | None], Queue[str | None]] = (Queue(), Queue())
        self._threads = [
            threading.Thread(target=self._read, args=parts, daemon=True)
            for parts in (
                (self.process.stdout, self.out, self._queues[0]),
                (self.process.stderr, self.err, self._queues[1]),
            )
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream: Any, seen: list[str], queue: Queue[str | None]) -> None:
        for line in stream:
            seen.append(line.rstrip("\n"))
            queue.put(seen[-1])
        queue.put(None)

    def line(self, *, error: bool = False) -> str:
        line = self._queues[error].get(timeout=PATIENCE)
        assert line is not None, f"it ended: {self.out[-5:]} {self.err[-20:]}"
        return line

    def document(self, event: str | None = None) -> Any:
        while True:
            found = json.loads(self.line())
            if event is None or found["event"] == event:
                return found

    def end(self, number: int | None = None) -> Done:
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        return Done(code, "\n".join(self.out), "\n".join(self.err))


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start a command; what still runs at the end of the test is killed."""
    started: list[Running] = []

    def begin(*arguments: str, **options: Any) -> Running:
        started.append(Running(*arguments, **options))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.end()
        for stream in (running.process.stdout, running.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def cenote() -> Callable[..., Done]:
    """Run a command to its end."""

    def run(*arguments: str, env: dict[str, str] | None = None, cwd: str | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "cenote.cli", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=environment(**(env or {})),
            cwd=cwd,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@dataclass
class Served:
    """A cache host, and commands that talk to it."""

    url: str
    running: Running
    cenote: Callable[..., Done]
    token: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Done:
        env = {"CENOTE_SERVER": self.url} | ({"CENOTE_TOKEN": self.token} if self.token else {})
        return self.cenote(*arguments, env=env)

    def put(self, key: str, value: Any = 1, *, service: str | None = None, tags: tuple[str, ...] = ()) -> None:
        with httpx.Client(base_url=self.url, headers=self.headers, trust_env=False) as http:
            answer = http.put(
                f"/api/system/cache/entries/{key}",
                params={"serviceName": service} if service else {},
                json={"value": value, "tags": list(tags)},
            )
            answer.raise_for_status()


@pytest.fixture
def host(start: Callable[..., Running], cenote: Callable[..., Done]) -> Callable[..., Served]:
    """Start a cache host on a free port."""

    def begin(*arguments: str, token: str | None = None, **options: Any) -> Served:
        env = ({"CENOTE_TOKEN": token} if token else {}) | options.pop("env", {})
        running = start("serve", "--port", "0", "--json", *arguments, env=env, **options)
        url = running.document("listening")["url"]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Served(url, running, cenote, token, headers)

    return begin


@pytest.fixture
def served(host: Callable[..., Served]) -> Served:
    """A cache host with two services and a few entries."""
    served = host()
    for number in range(3):
        served.put(f"report:{number}", service="workflow", tags=(f"module:{number}",))
    served.put("analysis:0", service="etherforce", tags=("module:0",))
    served.put("table")
    return served
