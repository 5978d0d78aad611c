"""What a clear is expected to cost, told from how soon entries are read again."""

from __future__ import annotations

import math
import random

import pytest

from cenote.forecast import forecast, recovered
from cenote.rereads import HORIZON, Cohort, Rereads


def poisson(rates, watched=HORIZON, seed=1):
    """Rereads of entries that are read at these rates."""
    dice = random.Random(seed)
    cohort = Cohort(len(rates))
    for rate in rates:
        kind = cohort.choose(1000.0)
        read = dice.expovariate(rate)
        if read < watched:
            cohort.note(kind, read, 0.01)
    cohort.reach = watched
    return Rereads([cohort])


def test_a_forecast_adds_up():
    """Ten thousand entries, each read once in 100 seconds on average, all read a hundred times a second."""
    found = forecast(poisson([0.01] * 5000), entries=10_000, reads_per_second=100.0, hit_rate=100.0)
    assert found.reloads == pytest.approx(10_000 * (1 - math.exp(-6)), rel=0.02)
    assert found.reload_seconds == pytest.approx(0.01 * found.reloads, rel=0.01)
    assert found.seconds_to_90 == pytest.approx(100 * math.log(10), rel=0.1)
    assert found.curve[0][1] < 10
    assert found.peak_loads_per_second == pytest.approx(100, rel=0.25)
    assert found.confidence == "good"
    before = 0.0
    missed = 0.0
    for end, rate in found.curve:
        missed += 100.0 * (end - before) * (100 - rate) / 100
        before = end
    assert missed == pytest.approx(found.reloads, rel=0.02)


def test_few_sightings_are_poor_and_a_short_watch_is_fair():
    def confidence(count, watched):
        rereads = poisson([0.01] * count, watched=watched)
        return forecast(rereads, entries=100, reads_per_second=1.0, hit_rate=50.0).confidence

    assert confidence(50, 600.0) == "poor"
    assert confidence(1000, 60.0) == "fair"
    assert confidence(1000, 600.0) == "good"


def test_a_paced_refill_takes_longer_and_loads_no_faster():
    rereads = poisson([0.01] * 2000)
    free = forecast(rereads, entries=10_000, reads_per_second=100.0, hit_rate=100.0)
    paced = forecast(rereads, entries=10_000, reads_per_second=100.0, hit_rate=100.0, rate=20.0)
    assert paced.peak_loads_per_second == pytest.approx(20.0)
    assert paced.seconds_to_90 is None or paced.seconds_to_90 > free.seconds_to_90


def test_steps_in_the_wrong_order_are_taken_together():
    curve = [(1.0, 90.0), (2.0, 10.0), (3.0, 50.0), (4.0, 95.0), (5.0, 95.0)]
    assert recovered(curve, 90.0) == pytest.approx(1.5 + 2.5 * 40 / 45, abs=0.001)
    assert recovered(curve, 99.0) is None
    assert recovered([(1.0, 90.0), (3.0, 10.0), (4.0, 60.0)], 60.0, [1.0, 0.0, 1.0]) == pytest.approx(1.6, abs=0.001)


def test_what_was_found_over_a_while_is_the_rate_in_its_middle():
    assert recovered([(1.0, None), (2.0, 80.0)], 80.0) == 1.0
    assert recovered([(1.0, 0.0), (2.0, 100.0)], 50.0) == 1.0


def test_a_rate_that_comes_back_exponentially_is_read_off_where_it_is():
    ends = [10.0 * step for step in range(1, 61)]
    curve = [(end, 100 * (1 - math.exp(-(end - 5) / 100))) for end in ends]
    for rate in (50.0, 90.0, 95.0):
        assert recovered(curve, rate) == pytest.approx(-100 * math.log(1 - rate / 100), rel=0.01)
