"""How much is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        quick: Whether to be done soon rather than exact.
        rounds: Rounds of timed calls.
        seconds: How long one timing of a round lasts.
        entries: What a large cache holds.
        clears: Rounds of clears of a large cache.
        traces: The folder of the recorded traces.
        port: The port of the HTTP server.
    """

    quick: bool
    traces: Path
    port: int

    @property
    def rounds(self) -> int:
        return 15 if self.quick else 101

    @property
    def seconds(self) -> float:
        return 0.001 if self.quick else 0.002

    @property
    def entries(self) -> int:
        return 200_000 if self.quick else 1_000_000

    @property
    def clears(self) -> int:
        return 2 if self.quick else 3
