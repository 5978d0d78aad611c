"""A bar for what takes longer than a second, on a terminal and nowhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cenote.cli.failures import Failure

__all__ = ["Waiting"]

_PATIENCE: Final = 1.0
_EVERY: Final = 0.5


def _nobody_knows() -> None:
    """Say that it is not known how much is done."""


class Waiting:
    """Shows a bar on standard error while a block runs, once a second has passed since this was made.

    Whoever reads the output, in a pipe, a file or as JSON, never meets it: it is drawn only where standard output and
    standard error both are a terminal, and it is gone when the block ends. It may be entered again and again.

    Args:
        text: What is waited for.
        quiet: Show nothing at all.
        ask: Returns how much is done, and of how much, or None where that is not known, as without it; it runs in
            another thread.

    Attributes:
        quiet: Whether nothing will be shown.
    """

    def __init__(self, text: str, *, quiet: bool, ask: Callable[[], tuple[int, int] | None] = _nobody_knows) -> None:
        self._text = text
        self._ask = ask
        self.quiet = quiet or not (sys.stdout.isatty() and sys.stderr.isatty())
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if not self.quiet:
            self._over.clear()
            self._thread = threading.Thread(target=self._run, name="cenote-waiting", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        if self._over.wait(max(self._begun + _PATIENCE - time.monotonic(), 0)):
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(self._text, total=None, count="")
            while True:
                # What cannot be told now can be told later; the block itself says what is wrong.
                with suppress(Failure):
                    done = self._ask()
                    if done is not None:
                        bar.update(task, completed=done[0], total=done[1], count=f"{done[0]:,} of {done[1]:,}")
                if self._over.wait(_EVERY):
                    return
