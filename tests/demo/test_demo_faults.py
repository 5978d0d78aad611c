"""Faults that only threads bring out, and faults of a request."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from cenote import CacheManager
from cenote.demo.runner import Demo
from cenote.demo.screen import Screen
from cenote.demo.sources import Library

# A garbage collection runs Python code in the middle of a parse, and so lets another thread parse too.
SWITCHING = """
import ast, gc, sys, threading
from concurrent.futures import ThreadPoolExecutor
from cenote.demo.parsing import parse
from cenote.demo.sources import Library

sys.setswitchinterval(1e-6)
gc.set_threshold(50, 5, 5)
gc.callbacks.append(lambda phase, info: [None for _ in range(20)])
library = Library(most=30)
names = library.names * 2
turns = threading.Semaphore(0)


def outsider():
    for _ in names:
        turns.acquire()
        try:
            ast.parse("_('somebody else', 1)")
        except SystemError:
            pass


other = threading.Thread(target=outsider)
other.start()
try:
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda name: (turns.release(), parse(name, library.read(name))), names))
finally:
    turns.release(len(names))
    other.join()
"""


def test_parsing_survives_a_foreign_thread_that_parses_once_for_each_module():
    done = subprocess.run([sys.executable, "-c", SWITCHING], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]


class FailingLibrary(Library):
    """Sources that go away once traffic has begun."""

    gone = False

    def read(self, module):
        if self.gone:
            raise OSError("the disk is gone")
        return super().read(module)


class CountingScreen(Screen):
    """Takes the sources away when traffic begins, and counts the seconds until somebody notices."""

    def __init__(self, caches, library):
        super().__init__("http://127.0.0.1", token=False)
        self.caches = caches
        self.library = library
        self.ticks = 0

    def opening(self, modules, version):
        pass

    def warming(self, done, total):
        pass

    def ready(self, key):
        self.library.gone = True
        self.caches.clear_all()

    def tick(self, tick):
        self.ticks += 1

    def happened(self, event):
        pass

    def ended(self, summary):
        pass


def test_a_request_that_fails_ends_the_run_at_once_instead_of_passing_for_quiet():
    with CacheManager() as caches:
        library = FailingLibrary(most=12)
        screen = CountingScreen(caches, library)
        with pytest.raises(ExceptionGroup) as caught:
            Demo(caches, screen, library).run(20, threading.Event())
        assert "the disk is gone" in str(caught.value.exceptions[0])
    assert screen.ticks < 5
