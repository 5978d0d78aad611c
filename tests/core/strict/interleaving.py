"""Tools to force one interleaving: an action at a chosen line, a loader that stands at a gate."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SOON = 10.0
"""Seconds after which a thread that does not end is taken for hung."""


@contextmanager
def before_line(function: Callable[..., Any], text: str, action: Callable[[], object]) -> Iterator[None]:
    """Run an action once, in this thread, before it reaches the first line of a function that holds a text."""
    lines, first = inspect.getsourcelines(function)
    number = first + next(index for index, line in enumerate(lines) if text in line)
    actions = [action]

    def on_line(frame: FrameType, event: str, _: object) -> Any:
        if event == "line" and frame.f_lineno == number and actions:
            actions.pop()()
        return on_line

    def on_call(frame: FrameType, _: str, __: object) -> Any:
        return on_line if frame.f_code is function.__code__ else None

    former = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(former)
    assert not actions, f"{text!r} was not reached"


def in_thread(function: Callable[[], object]) -> threading.Thread:
    """Start a function in a thread."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def ended(*threads: threading.Thread) -> bool:
    """Whether all threads end."""
    for thread in threads:
        thread.join(SOON)
    return not any(thread.is_alive() for thread in threads)


def interrupt() -> None:
    raise KeyboardInterrupt


class Gate:
    """A loader that says when it began and ends when it is let go."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.began = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> Any:
        self.began.set()
        assert self.go.wait(SOON)
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def memoized(cache: Any, name: str, answer: str) -> Any:
    def function(x: str) -> str:
        return f"{answer} {x}"

    return cache.memoize(name=name)(function)


def memoized_local(cache: Any) -> Any:
    @cache.memoize()
    def function(x: str) -> str:
        return x

    return function


@contextmanager
def unswept(cache: Any) -> Iterator[None]:
    """Keep the background sweep away, which may come at any time."""
    sweep = cache._core.sweep
    cache._core.sweep = lambda *_: 0
    try:
        yield
    finally:
        cache._core.sweep = sweep
