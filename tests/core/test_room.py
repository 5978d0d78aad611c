"""The loads that a clear saves by the room it makes."""

from __future__ import annotations

import pytest

from cenote.forecast import forecast
from cenote.rereads import HORIZON, Cohort, Rereads
from cenote.room import Returns, Room


def returns(evicted, *counts, lag=0, reach=400):
    return Returns(evicted, reach, lag, counts or (0, 0, 0, 0))


def test_a_key_that_comes_back_saves_a_load_once_it_would_have_been_asked_for_twice():
    """Ten evictions a second, two keys a second come back after about 350 of them: 35 seconds."""
    room = Room(returns(0), returns(1000, 0, 0, 0, 200), 100.0)
    assert room.saved(35.0) == 0.0
    assert room.saved(45.0) == pytest.approx(20.0)
    assert room.saved(135.0) == pytest.approx(200.0)


def test_only_what_was_counted_meanwhile_tells():
    room = Room(returns(1000, 70, 0, 0, 10), returns(2000, 70, 0, 0, 210), 100.0)
    assert room.saved(45.0) == pytest.approx(20.0)


def test_the_last_read_came_before_the_eviction():
    late = Room(returns(0), returns(1000, 100, 0, 0, 0, lag=50), 100.0)
    assert late.saved(10.0) == 0.0
    assert late.saved(20.0) == pytest.approx(10.0)


@pytest.mark.parametrize("now", [returns(1000, 5, 5, 5, 5), returns(10)])
def test_a_cache_that_evicts_nothing_saves_nothing(now):
    assert Room(returns(1000), now, 100.0).saved(HORIZON) == 0.0


def rereads(room):
    """Nothing that is held is ever read again."""
    cohort = Cohort(1000)
    for _ in range(1000):
        cohort.choose(100.0)
    cohort.reach = HORIZON
    return Rereads([cohort], held=1000, room=room)


def test_room_serves_more_until_the_cache_is_full_again():
    """A thousand entries, ten loads a second, of which two are for keys that were there less than ten seconds ago."""
    room = Room(returns(0), returns(1000, 200, 0, 0, 0, reach=4), 100.0)
    with_room = forecast(rereads(room), entries=1000, reads_per_second=20.0, hit_rate=50.0)
    without = forecast(rereads(None), entries=1000, reads_per_second=20.0, hit_rate=50.0)
    assert {rate for _, rate in without.curve} == {50.0}
    # Eight a second fill it in 125 seconds.
    assert all(rate == pytest.approx(60.0, abs=0.6) for end, rate in with_room.curve if 5 < end < 120)
    assert all(rate == pytest.approx(50.0) for end, rate in with_room.curve if end > 140)


def test_what_room_saves_is_no_reload_less():
    """The cleared cache learns anew what is worth keeping once it is full: over the horizon that costs as much."""
    room = Room(returns(0), returns(1000, 200, 0, 0, 0), 100.0)
    with_room = forecast(rereads(room), entries=1000, reads_per_second=20.0, hit_rate=50.0)
    assert with_room.reloads == 0.0
    assert with_room.reload_seconds == 0.0
