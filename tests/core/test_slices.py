"""Long work lets go of the interpreter after each slice, and what it was away for is no work of its own."""

from __future__ import annotations

import random

import pytest

from cenote import probing, slices
from cenote.probing import Probes

WORK = 0.0001
"""Seconds that pass between two looks at the clock."""
AWAY = 0.005
"""Seconds after which a reader gives the interpreter back."""


class Time:
    """A clock that goes on by each look at it, and by each nap as long as a reader keeps the interpreter."""

    def __init__(self):
        self.now = 0.0
        self.naps = []

    def perf_counter(self):
        self.now += WORK
        return self.now

    def sleep(self, seconds):
        self.naps.append(self.now)
        assert seconds > 0
        self.now += AWAY


@pytest.fixture
def time(monkeypatch):
    made = Time()
    monkeypatch.setattr(slices, "time", made)
    monkeypatch.setattr(probing, "perf_counter", made.perf_counter)
    return made


@pytest.fixture
def probes(caches):
    cache = caches.service("books", max_entries=2000)
    for number in range(2000):
        cache.set(f"k{number}", number)
    return Probes(cache._core, random.Random(3))


def test_no_slice_is_longer_than_two_milliseconds(time, probes):
    assert len(probes.gather(1500)) == 1500
    assert len(time.naps) > 3
    ends = [end + AWAY for end in time.naps]
    slices_taken = [nap - began for began, nap in zip([0.0, *ends], time.naps, strict=False)]
    assert all(0.0015 < each <= 0.0025 for each in slices_taken)


def test_naps_do_not_count_as_work(time, probes):
    found = len(probes.gather(1500, seconds=0.006))
    assert 0 < found < 1500
    assert len(time.naps) == pytest.approx(0.006 / 0.002, abs=1)


def test_a_cache_with_fewer_entries_gives_those(caches):
    cache = caches.service("small", max_entries=2000)
    for number in range(5):
        cache.set(f"k{number}", number)
    assert {entry.key for entry in Probes(cache._core).gather(100)} == {f"k{number}" for number in range(5)}
    cache.clear()
    assert Probes(cache._core).gather(100) == []
