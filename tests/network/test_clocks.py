"""The wall clock of a machine is put forward or back by hours; leases and clears do not ask it."""

from __future__ import annotations

SHIFTED = """
import time
import cenote.clock
shift = 0.0
cenote.clock.SystemClock.time = staticmethod(lambda: time.time() + shift)
"""


def test_a_wall_clock_that_jumps_changes_nothing_about_leases_and_clears(site, stopped):
    one, other = site.process("a"), site.process("b", SHIFTED)
    site.ripen(one)
    for process in (one, other):
        site.leased(process)
    site.witness(one, other)
    for hours in (5, -5, 0):
        other.do(f"shift = {hours * 3600.0}")
        for process in (one, other):
            result = site.clear(process)
            assert (result.level, result.lapsed) == ("network", ())
            site.warm(one, other)
        go_on = stopped(site.agent("b"))
        result = site.clear(one)
        assert len(result.lapsed) == 1
        assert result.seconds < site.longest
        go_on()
        site.leased(other)
        site.warm(other)
    site.judge(one, other)
