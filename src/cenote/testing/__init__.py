"""What Cenote's own tests use and yours may: a clock, a history checker, a scheduler and contract suites."""

from cenote.testing.clock import FakeClock

__all__ = ["FakeClock"]
