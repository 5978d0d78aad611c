"""Where a command writes: sentences and tables for people, or JSON alone for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType

from cenote.cli.exit_codes import ExitCode
from cenote.cli.failures import Failure, WrongUsage
from cenote.errors import MissingExtraError

__all__ = ["Output", "printable"]


class Output:
    """The standard output of one command.

    Args:
        as_json: Print JSON documents and nothing else on standard output.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, markup=False, emoji=False)
        self._errors = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def document(self, document: Any) -> None:
        """Print one JSON document on a line of its own."""
        self._write(json.dumps(document, ensure_ascii=False) + "\n")

    def line(self, text: str) -> None:
        """Print text as it is, without wrapping; control characters are shown, not obeyed."""
        self._write(printable(text) + "\n")

    def show(self, thing: RenderableType) -> None:
        """Print a sentence or a table, fitted to the terminal."""
        with _quiet_pipe():
            self.console.print(thing)
            sys.stdout.flush()

    def notice(self, text: str) -> None:
        """Say something to the person that is not part of the output."""
        self._errors.print(printable(text), soft_wrap=True)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn a failure into one sentence, in JSON also a document, and the exit code; Ctrl-C is quiet.

        Raises:
            typer.Exit: With the code of the failure.
        """
        try:
            yield
        except Failure as failure:
            if self.as_json and not isinstance(failure, WrongUsage):
                said = {"status": "error", "message": str(failure)}
                self.document({**said, **(failure.answer or {}), "exitCode": int(failure.code)})
            self._errors.print(printable(f"Error: {failure}"), soft_wrap=True)
            raise typer.Exit(failure.code) from None
        except MissingExtraError as missing:
            self._errors.print(printable(f"Error: {missing}"), soft_wrap=True)
            raise typer.Exit(ExitCode.MISSING_EXTRA) from None
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    def _write(self, text: str) -> None:
        with _quiet_pipe():
            try:
                sys.stdout.write(text)
            except UnicodeEncodeError:
                encoding = sys.stdout.encoding
                sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
            sys.stdout.flush()


def printable(text: str) -> str:
    """Return text with control characters written out, so that no identifier can steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


@contextmanager
def _quiet_pipe() -> Iterator[None]:
    """Leave without a word when the reader of the output has gone (``cenote keys | head``)."""
    try:
        yield
    except BrokenPipeError:
        # The interpreter flushes standard output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(ExitCode.BROKEN_PIPE) from None
