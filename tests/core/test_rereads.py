"""How soon entries are read again, counted over cohorts that were chosen at random."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from cenote.rereads import HORIZON, Cohort, Rereads, step_ends

ENDS = step_ends()


def cohort_of(reads, *, held=None, reach=HORIZON, age=1000.0, cost=1.0):
    """A cohort of entries that are read after so many seconds; None: never."""
    cohort = Cohort(len(reads) if held is None else held)
    for seconds in reads:
        kind = cohort.choose(age)
        if seconds is not None and seconds <= reach:
            cohort.note(kind, seconds, cost)
    cohort.reach = reach
    return cohort


def exponential(count, rate, seed=1, **more):
    dice = random.Random(seed)
    return cohort_of([dice.expovariate(rate) for _ in range(count)], **more)


def test_the_share_that_is_read_again_is_what_was_counted():
    cohort = cohort_of([ENDS[0], ENDS[1], None, None])
    rereads = Rereads([cohort])
    assert rereads.share(ENDS[0]) == pytest.approx(0.25)
    assert rereads.share(ENDS[1]) == pytest.approx(0.5)
    assert rereads.share(HORIZON) == pytest.approx(0.5)
    assert rereads.share(ENDS[0] / 2) == pytest.approx(0.125)
    assert rereads.sightings == 4


def test_what_is_read_again_costs_what_its_load_took():
    cohort = Cohort(4)
    kinds = [cohort.choose(20.0) for _ in range(4)]
    cohort.note(kinds[0], ENDS[0], 1.0)
    cohort.note(kinds[1], ENDS[5], 3.0)
    cohort.reach = HORIZON
    assert Rereads([cohort]).cost(ENDS[0]) == pytest.approx(0.25)
    assert Rereads([cohort]).cost(HORIZON) == pytest.approx((1.0 + 3.0) / 4)


def test_entries_that_leave_unread_are_never_read_again():
    """Entries are read at one rate and evicted at another; what left before it was read is no load of the clear's."""
    dice = random.Random(3)
    reads = []
    for _ in range(20_000):
        read, gone = dice.expovariate(0.01), dice.expovariate(0.02)
        reads.append(read if read < gone else None)
    rereads = Rereads([cohort_of(reads)])
    for seconds in (20.0, 60.0, 300.0):
        assert rereads.share(seconds) == pytest.approx((1 - math.exp(-0.03 * seconds)) / 3, abs=0.01)


def test_a_value_that_is_loaded_now_need_not_be_loaded_when_the_former_one_would_have_ended():
    """A value ends after 100 seconds; this one is read at once, all the time, and would have ended in 40 seconds."""
    cohort = cohort_of([ENDS[0]])
    cohort.put_off(0.0, 40.0, 100.0, 0.0, 2.0)
    rereads = Rereads([cohort])
    for seconds, loads in ((20.0, 1), (80.0, 0), (120.0, 1), (180.0, 0), (220.0, 1), (280.0, 0)):
        assert rereads.share(seconds) == pytest.approx(loads, abs=1e-6)


def test_a_read_after_both_have_ended_makes_an_end_of_the_difference():
    """It is read so seldom that nobody asks between the two ends: the load that was saved stays saved."""
    cohort = cohort_of([ENDS[0]])
    cohort.put_off(0.0, 40.0, 100.0, 10_000.0, 1.0)
    assert Rereads([cohort]).share(HORIZON) == pytest.approx(0.0, abs=0.01)
    twin = cohort_of([ENDS[0]], cost=3.0)
    twin.put_off(0.0, 40.0, 100.0, 40.0, 3.0)
    # The other one is loaded in 140 seconds if a read comes between 100 and 140; else it is there.
    assert Rereads([twin]).share(160.0) == pytest.approx(1 - math.exp(-1), abs=0.01)
    assert Rereads([twin]).cost(160.0) == pytest.approx(3.0 * (1 - math.exp(-1)), abs=0.05)


def test_cohorts_that_were_watched_for_a_short_while_say_what_they_can():
    whole = Rereads([exponential(4000, 0.005, seed=2), exponential(4000, 0.005, seed=3, reach=50.0)])
    for seconds in (20.0, 100.0, 300.0):
        assert whole.share(seconds) == pytest.approx(1 - math.exp(-0.005 * seconds), abs=0.03)


def test_the_trend_only_flattens_and_meets_the_count_at_its_end():
    dice = random.Random(4)
    rereads = Rereads([cohort_of([dice.expovariate(dice.paretovariate(1.1) / 2000) for _ in range(1000)])])
    steps = list(pairwise([0.0, *ENDS]))
    slopes = [(rereads.trend(b) - rereads.trend(a)) / (b - a) for a, b in steps]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(slopes))
    assert rereads.trend(HORIZON) == pytest.approx(rereads.share(HORIZON))


def test_what_lies_beyond_the_watch_is_guessed_and_never_more_than_everything():
    rereads = Rereads([exponential(1000, 0.01, reach=60.0)])
    assert rereads.reach == 60
    assert rereads.share(60.0) < rereads.share(600.0) <= 1.0
    assert Rereads([]).share(600.0) == 0.0


def test_a_cache_that_has_grown_old_is_not_taken_for_what_it_was():
    """Young entries are read often, old ones seldom; when most were watched the cache was young, and now it is old."""
    was = Cohort(10_000)
    for number in range(10_000):
        young = number < 9000
        kind = was.choose(5.0 if young else 1000.0)
        if number % (2 if young else 10) == 0:
            was.note(kind, 50.0, 1.0)
    was.reach = HORIZON
    now = Cohort(10_000)
    for number in range(10_000):
        now.choose(5.0 if number < 1000 else 1000.0)
    assert Rereads([was]).share(HORIZON) == pytest.approx(0.9 * 0.5 + 0.1 * 0.1, abs=0.01)
    assert Rereads([was, now]).share(HORIZON) == pytest.approx(0.1 * 0.5 + 0.9 * 0.1, abs=0.02)


def test_what_a_cache_grew_by_is_taken_to_be_read_half_as_much():
    cohort = cohort_of([30.0] * 500, held=500)
    assert Rereads([cohort], held=500).share(HORIZON) == pytest.approx(1.0)
    assert Rereads([cohort], held=1000).share(HORIZON) == pytest.approx(0.75)
    assert Rereads([cohort], held=250).share(HORIZON) == pytest.approx(1.0)
