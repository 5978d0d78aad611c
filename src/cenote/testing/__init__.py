"""What Cenote's own tests use and yours may: a clock, a history checker, a scheduler and contract suites."""

from cenote.testing.clock import FakeClock
from cenote.testing.history import History, Invalidation, Read, Stamped
from cenote.testing.scheduler import Exploration, Scenario, Scheduler, checkpoint, explore, replay
from cenote.testing.turns import DeadlockError
from cenote.testing.verdict import Violation, assert_strict, check

__all__ = [
    "DeadlockError",
    "Exploration",
    "FakeClock",
    "History",
    "Invalidation",
    "Read",
    "Scenario",
    "Scheduler",
    "Stamped",
    "Violation",
    "assert_strict",
    "check",
    "checkpoint",
    "explore",
    "replay",
]
