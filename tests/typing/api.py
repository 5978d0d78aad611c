"""What type checkers must make of the public names; nothing here runs."""

from __future__ import annotations

from datetime import datetime
from typing import assert_type

from cenote.result import ClearResult


def a_result_is_typed(result: ClearResult) -> None:
    """Each field has the type that its users rely on."""
    assert_type(result.entries_cleared, int)
    assert_type(result.cleared_items, tuple[str, ...])
    assert_type(result.timestamp, datetime)
