"""Parsing Python, one module at a time."""

from __future__ import annotations

import ast
import threading

__all__ = ["parse"]

_one_at_a_time = threading.Lock()


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
    with _one_at_a_time:
        return ast.parse(source, module)
