"""What Cenote's own tests use and yours may: a clock, a history checker, a scheduler and contract suites."""

from cenote.testing.clock import FakeClock
from cenote.testing.history import History, Invalidation, Read, Stamped
from cenote.testing.verdict import Violation, assert_strict, check

__all__ = [
    "FakeClock",
    "History",
    "Invalidation",
    "Read",
    "Stamped",
    "Violation",
    "assert_strict",
    "check",
]
