"""FakeClock: time in a test's own hands."""

import threading

import pytest

from cenote.clock import Clock
from cenote.testing.clock import FakeClock


def test_it_is_a_clock() -> None:
    assert isinstance(FakeClock(), Clock)


def test_it_stands_still_until_it_is_advanced() -> None:
    clock = FakeClock(start=5)
    assert (clock.monotonic(), clock.time()) == (5.0, 5.0)
    assert clock.advance(2.5) == 7.5
    assert (clock.monotonic(), clock.time()) == (7.5, 7.5)


def test_advancing_by_nothing_is_allowed() -> None:
    assert FakeClock().advance(0) == 1000.0


@pytest.mark.parametrize("seconds", [-1, -1e-9, float("nan")])
def test_it_refuses_to_go_backwards(seconds: float) -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="never goes backwards"):
        clock.advance(seconds)
    assert clock.monotonic() == 1000.0


def test_no_step_is_lost_when_threads_advance_it_together() -> None:
    clock = FakeClock(start=0)
    threads = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.monotonic() == 8000
