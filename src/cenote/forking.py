"""Forking: the managers of this process, and what becomes of them when it forks."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Generic, Protocol, TypeVar

__all__ = ["Forkable", "Registry"]


class Forkable(Protocol):
    """Something that holds locks over a fork."""

    def before_fork(self) -> None:
        """Take every lock."""

    def after_fork_in_parent(self) -> None:
        """Give them back."""

    def after_fork_in_child(self) -> None:
        """Begin anew."""


T = TypeVar("T", bound=Forkable)


class Registry(Generic[T]):
    """What there is of one kind, as long as somebody else holds it."""

    def __init__(self) -> None:
        """Make an empty registry that takes part in forks."""
        self._live: weakref.WeakSet[T] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._forking: list[T] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def add(self, one: T) -> None:
        """Take one in."""
        with self._lock:
            self._live.add(one)

    def discard(self, one: T) -> None:
        """Let one go."""
        with self._lock:
            self._live.discard(one)

    def members(self) -> list[T]:
        """Return all there are."""
        with self._lock:
            return list(self._live)

    def _before(self) -> None:
        self._lock.acquire()
        self._forking.extend(self._live)
        for one in self._forking:
            one.before_fork()

    def _in_parent(self) -> None:
        for one in reversed(self._forking):
            one.after_fork_in_parent()
        self._forking.clear()
        self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        for one in self._forking:
            one.after_fork_in_child()
        self._forking.clear()
