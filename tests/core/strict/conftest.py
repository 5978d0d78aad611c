"""Prints the race table at the end of a test run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


def _races(reports: list[Any]) -> Iterator[tuple[str, str, str]]:
    for report in reports:
        if getattr(report, "when", None) != "call":
            continue
        for name, value in report.user_properties:
            if name == "race":
                fill, empty, judged = value
                yield fill, empty, f"{judged} ok"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write one line for each way to fill, one column for each way to empty."""
    cells = {(fill, empty): text for fill, empty, text in _races(terminalreporter.stats.get("passed", []))}
    if not cells:
        return
    fills = list(dict.fromkeys(sorted(fill for fill, _ in cells)))
    empties = list(dict.fromkeys(sorted(empty for _, empty in cells)))
    terminalreporter.section("race table: reads judged, none stale")
    width = max(map(len, fills)) + 2
    terminalreporter.write_line(" " * width + " ".join(f"{empty:>11}" for empty in empties))
    for fill in fills:
        row = " ".join(f"{cells.get((fill, empty), 'not run'):>11}" for empty in empties)
        terminalreporter.write_line(f"{fill:<{width}}{row}")
