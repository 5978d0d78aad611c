"""Parsing Python, one module at a time."""

from __future__ import annotations

import ast
import threading
from contextlib import suppress
from typing import Final

__all__ = ["parse"]

_one_at_a_time = threading.Lock()
_TRIES: Final = 20


def parse(module: str, source: bytes) -> ast.Module:
    """Return the syntax tree of a module.

    Args:
        module: Its name, for messages.
        source: Its text, in whatever encoding it declares.

    Raises:
        SyntaxError: The source does not parse.
        ValueError: The source holds null bytes.
    """
    # Threads of CPython 3.11 that build trees at the same time count each other's depth, and fail with SystemError.
    # The lock keeps the demonstration's own apart; others of the process parse when they like, hence the tries.
    with _one_at_a_time:
        for _ in range(_TRIES - 1):
            with suppress(SystemError):
                return ast.parse(source, module)
        return ast.parse(source, module)
