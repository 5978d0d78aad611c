"""What the tests of the core share: a clock that stands still, caches on it, and threads that never outlive a test."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import cenote
from cenote import Cache, CacheManager
from cenote.testing import FakeClock

PATIENCE = 20.0
"""Seconds after which a test takes something for hung."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def caches(clock: FakeClock) -> Iterator[CacheManager]:
    with CacheManager(clock=clock) as manager:
        yield manager


@pytest.fixture
def cache(caches: CacheManager) -> Cache:
    return caches.service("etherforce")


@pytest.fixture
def make(caches: CacheManager) -> Callable[..., Cache]:
    """Makes a cache with options of its own."""
    names = iter(range(1000))
    return lambda **options: caches.service(f"made-{next(names)}", **options)


class Spawned:
    """A function that runs in a daemon thread: one that hangs fails its test and holds up nothing else."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._future: Future[Any] = Future()
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        try:
            self._future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001  # handed to the test
            self._future.set_exception(error)

    def result(self) -> Any:
        return self._future.result(PATIENCE)

    def error(self) -> BaseException | None:
        return self._future.exception(PATIENCE)

    @property
    def done(self) -> bool:
        return self._future.done()


@pytest.fixture
def spawn() -> Callable[..., Spawned]:
    """Starts a function in a thread."""
    return lambda function, *arguments: Spawned(function, arguments)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Returns once a condition holds, which another thread is about to bring about."""
    pulse = threading.Event()

    def wait(condition: Callable[[], object]) -> None:
        for _ in range(int(PATIENCE * 1000)):
            if condition():
                return
            pulse.wait(0.001)
        pytest.fail("what another thread should have brought about did not happen")

    return wait


class Gate:
    """A loader that stands still between its begin and its end, until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.calls = 0

    def hold(self, value: Any = None) -> Any:
        """Says that the load has begun, and waits to be let go."""
        self.calls += 1
        self.entered.set()
        assert self.opened.wait(PATIENCE)
        return value

    def begun(self) -> None:
        assert self.entered.wait(PATIENCE)

    def open(self) -> None:
        self.opened.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


@pytest.fixture
def gates() -> Iterator[Callable[[], Gate]]:
    """Makes gates; all are open when the test ends."""
    made: list[Gate] = []

    def one() -> Gate:
        made.append(Gate())
        return made[-1]

    yield one
    for each in made:
        each.open()


@pytest.fixture
def at_every_line() -> Callable[[Callable[[], object], Callable[[], Any]], list[Any]]:
    """Runs a function, and something else before every line of the library that it reaches.

    This is what a signal handler may do, and what another thread may see, at the worst of moments.
    """
    library = str(Path(cenote.__file__).parent)

    def run(function: Callable[[], object], between: Callable[[], Any]) -> list[Any]:
        seen: list[Any] = []

        def trace(frame: FrameType, event: str, _: object) -> Any:
            if not frame.f_code.co_filename.startswith(library):
                return None
            if event == "line":
                seen.append(between())
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            function()
        finally:
            sys.settrace(before)
        return seen

    return run
