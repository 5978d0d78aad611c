"""Managers and processes that share entries on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from cenote.invalidation.machine import census
from cenote.invalidation.machine.log import MachineLog


@pytest.fixture
def url(directory):
    return f"lmdb://{directory}"


@pytest.fixture
def unattended(monkeypatch, at_once):
    """Managers of this process have no watcher and wait for nobody: a test says when they notice something."""
    monkeypatch.setattr(MachineLog, "attend", lambda self, listener: None)
    monkeypatch.setattr(census, "ANSWER_SECONDS", 0.0)


@pytest.fixture
def pair(open_manager, unattended):
    """Two managers that are processes to each other, each with a memoized function ``loaded``."""
    return [equipped(open_manager()) for _ in range(2)]


def equipped(caches):
    """Give a manager the service and the function that tests use."""
    caches.shop = caches.service("shop")

    @caches.shop.memoize(name="loaded", tags=lambda number: ["t"])
    def loaded(number: int) -> str:
        return caches.load()

    caches.value = "old"
    caches.load = lambda: caches.value
    caches.loaded = loaded
    return caches


def pytest_collection_modifyitems(items):
    """Tests here fork beside watching threads on purpose, as servers do."""
    for item in items:
        if Path(__file__).parent == item.path.parent:
            item.add_marker(pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"))
