"""Directories that processes share, and the processes."""

from __future__ import annotations

import pytest

from cenote import CacheManager
from cenote.invalidation.machine import log as machine_log
from cenote.invalidation.machine.log import MachineLog

from .processes import Process


@pytest.fixture
def directory(tmp_path):
    """A directory that nobody else may enter."""
    made = tmp_path / "shared"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def url(directory):
    return f"memory://{directory}"


@pytest.fixture
def path(directory):
    """The shared file that the managers of ``url`` use."""
    return directory / "cenote.cenote"


@pytest.fixture
def start(url):
    """Start other processes; what is left of them at the end is ended."""
    started = []

    def start(setup="", *, url=url):
        started.append(Process(url, setup))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def open_manager(url):
    """Open managers in this process; they are closed at the end."""
    opened = []

    def open_manager(url=url, **options):
        opened.append(CacheManager(url, **options))
        return opened[-1]

    yield open_manager
    for manager in opened:
        manager.close()


@pytest.fixture
def open_log(path):
    """Open logs on one file that are ready at once."""
    opened = []

    def open_log(path=path, settle=0.0):
        opened.append(MachineLog(path, settle=settle))
        return opened[-1]

    yield open_log
    for log in opened:
        log.close()


@pytest.fixture
def at_once(monkeypatch):
    """Managers of this process do not wait for those who may have an older file open."""
    monkeypatch.setattr(machine_log.MachineLog.__init__, "__kwdefaults__", {"settle": 0.0})


def pytest_collection_modifyitems(items):
    """Tests here fork beside watching threads on purpose, as servers do."""
    for item in items:
        if item.path.parent.name == "machine":
            item.add_marker(pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"))
