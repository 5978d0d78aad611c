"""Worker threads for loads that no caller's thread runs: background reloads, and loads with a time limit."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

__all__ = ["Workers", "workers"]

logger = logging.getLogger("cenote")

IDLE_SECONDS: Final = 10.0


class Workers:
    """Daemon threads that end when they have been idle for a while.

    A job never waits for a busy thread: one that hangs must not hold up others. Callers bound their jobs by key.
    """

    def __init__(self) -> None:
        """Make workers; threads start with jobs."""
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._jobs: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0

    def submit(self, job: Callable[[], object]) -> None:
        """Run a job soon, in a copy of the caller's context.

        Args:
            job: A function that handles its own errors.
        """
        context = contextvars.copy_context()
        with self._lock:
            start = self._free == 0
            if not start:
                self._free -= 1
        self._jobs.put(lambda: context.run(job))
        if start:
            threading.Thread(target=self._run, args=(self._jobs,), name="cenote-worker", daemon=True).start()

    def _run(self, jobs: SimpleQueue[Callable[[], object]]) -> None:
        while True:
            try:
                job = jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    # A job that claimed this thread while it gave up is in the queue already, or about to be.
                    if self._free > 0:
                        self._free -= 1
                        return
                continue
            try:
                job()
            except BaseException:
                # The thread is counted as free below, so it must go on.
                logger.exception("a background job failed")
            finally:
                del job
                with self._lock:
                    self._free += 1


workers: Final = Workers()
