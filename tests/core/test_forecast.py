"""What a clear is expected to cost, told from how soon entries are read again."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from cenote.forecast import HORIZON, Rereads, Sighting, forecast, recovered, step_ends


def poisson(rates, costs=None, watched=HORIZON, seed=1):
    """Sightings of entries that are read at these rates."""
    dice = random.Random(seed)
    seen = []
    for number, rate in enumerate(rates):
        read = dice.expovariate(rate)
        cost = 0.01 if costs is None else costs[number]
        seen.append(Sighting(cost, read, read) if read < watched else Sighting(cost, None, watched))
    return seen


def test_the_share_that_is_read_again_is_what_was_counted():
    seen = [Sighting(1.0, 1.0, 1.0), Sighting(3.0, 2.0, 2.0), Sighting(1.0, None, 10.0), Sighting(1.0, None, 10.0)]
    rereads = Rereads(seen)
    assert rereads.share(1.0) == 0.25
    assert rereads.share(2.0) == 0.5
    assert rereads.share(10.0) == 0.5
    assert rereads.cost(2.0) == pytest.approx((1.0 + 3.0) / 4)


def test_entries_that_left_before_they_were_read_cost_nothing():
    seen = [Sighting(1.0, 1.0, 1.0), Sighting(1.0, None, math.inf)]
    assert Rereads(seen).share(1.0) == 0.5


def test_observations_that_ended_early_say_what_they_can():
    rates = [0.005] * 4000
    early = poisson(rates, watched=50.0, seed=2) + poisson(rates, watched=HORIZON, seed=3)
    whole = Rereads(early)
    for seconds in (20.0, 100.0, 300.0):
        assert whole.share(seconds) == pytest.approx(1 - math.exp(-0.005 * seconds), abs=0.03)


def test_the_trend_only_flattens_and_meets_the_count_at_its_end():
    rereads = Rereads(poisson([random.Random(n).paretovariate(1.1) / 2000 for n in range(1000)]))
    ends = [0.0, *step_ends()]
    steps = [(a, b) for a, b in pairwise(ends) if b <= rereads.reach]
    slopes = [(rereads.trend(b) - rereads.trend(a)) / (b - a) for a, b in steps]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(slopes))
    assert rereads.trend(rereads.reach) == pytest.approx(rereads.share(rereads.reach))


def test_what_lies_beyond_the_watch_is_guessed_and_never_more_than_everything():
    rereads = Rereads(poisson([0.01] * 1000, watched=60.0))
    assert rereads.share(60.0) < rereads.share(600.0) <= 1.0
    assert Rereads([]).share(600.0) == 0.0


def test_a_forecast_adds_up():
    """Ten thousand entries, each read once in 100 seconds on average, all read a hundred times a second."""
    found = forecast(Rereads(poisson([0.01] * 5000)), entries=10_000, reads_per_second=100.0, hit_rate=100.0)
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
        rereads = Rereads(poisson([0.01] * count, watched=watched))
        return forecast(rereads, entries=100, reads_per_second=1.0, hit_rate=50.0).confidence

    assert confidence(50, 600.0) == "poor"
    assert confidence(1000, 60.0) == "fair"
    assert confidence(1000, 600.0) == "good"


def test_a_paced_refill_takes_longer_and_loads_no_faster():
    rereads = Rereads(poisson([0.01] * 2000))
    free = forecast(rereads, entries=10_000, reads_per_second=100.0, hit_rate=100.0)
    paced = forecast(rereads, entries=10_000, reads_per_second=100.0, hit_rate=100.0, rate=20.0)
    assert paced.peak_loads_per_second == pytest.approx(20.0)
    assert paced.seconds_to_90 is None or paced.seconds_to_90 > free.seconds_to_90


def test_steps_in_the_wrong_order_are_taken_together():
    curve = [(1.0, 90.0), (2.0, 10.0), (3.0, 50.0), (4.0, 95.0), (5.0, 95.0)]
    assert 3.0 < recovered(curve, 90.0) < 5.0
    assert recovered(curve, 99.0) is None
    assert recovered([(1.0, None), (2.0, 80.0)], 80.0) == 2.0
    assert recovered([(1.0, 0.0), (2.0, 100.0)], 50.0) == 1.5
