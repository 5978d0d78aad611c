"""The ghost remembers what was evicted lately, in little memory."""

from __future__ import annotations

import pytest

from cenote.entry import Entry
from cenote.eviction import ghost
from cenote.eviction.ghost import PARTS, Ghosts


def entry(key: object, slot: int = 0) -> Entry:
    return Entry(key, None, slot=slot)


def test_a_key_is_remembered_for_limit_evictions() -> None:
    """It is known while fewer than ``limit`` others were evicted after it."""
    for others, known in ((4, True), (5, False)):
        ghosts = Ghosts()
        ghosts.add(entry("old"), 5)
        for number in range(others):
            ghosts.add(entry(number), 5)
        assert ghosts.take(entry("old")) is known


def test_a_key_is_taken_once() -> None:
    ghosts = Ghosts()
    ghosts.add(entry("a"), 5)
    assert ghosts.take(entry("a"))
    assert not ghosts.take(entry("a"))


def test_keys_that_come_back_are_counted_by_the_evictions_in_between() -> None:
    ghosts = Ghosts()
    limit = 2 * PARTS
    for number in range(limit):
        ghosts.add(entry(number), limit)
    for since in (0, 1, 2, limit - 1):
        assert ghosts.take(entry(limit - 1 - since))
    assert not ghosts.take(entry("never"))
    assert (ghosts.returns[0], ghosts.returns[1], ghosts.returns[-1]) == (2, 1, 1)
    assert sum(ghosts.returns) == 4
    assert ghosts.evicted == limit


def test_the_same_key_of_another_table_is_another_key() -> None:
    ghosts = Ghosts()
    ghosts.add(entry("a", slot=1), 5)
    assert not ghosts.take(entry("a", slot=2))


def test_a_limit_of_zero_remembers_nothing() -> None:
    ghosts = Ghosts()
    ghosts.add(entry("a"), 0)
    assert not ghosts.take(entry("a"))


def test_nothing_is_allocated_before_the_first_eviction() -> None:
    ghosts = Ghosts()
    assert not ghosts.take(entry("a"))
    assert ghosts.slots == 0


@pytest.mark.parametrize("limit", [900_000, 1_000_000, 1_048_576, 1_048_577])
def test_the_table_takes_less_than_sixteen_bytes_for_each_key(limit: int) -> None:
    ghosts = Ghosts()
    ghosts.add(entry("a"), limit)
    assert limit <= ghosts.slots < 2 * limit


@pytest.mark.parametrize("shape", [int, str, lambda number: (number, "x"), lambda number: number * 4096])
def test_most_keys_live_as_long_as_they_should(shape: type) -> None:
    """Full to the limit, collisions lose few keys, whatever the keys look like."""
    ghosts = Ghosts()
    limit = 3_600
    for number in range(20_000):
        ghosts.add(entry(shape(number)), limit)
    known = sum(ghosts.take(entry(shape(number))) for number in range(20_000 - limit, 20_000))
    assert known > 0.75 * limit
    strangers = sum(ghosts.take(entry(shape(number))) for number in range(20_000, 40_000))
    assert strangers <= 2


def test_growing_keeps_what_was_remembered() -> None:
    ghosts = Ghosts()
    for number in range(100):
        ghosts.add(entry(number), 100)
    before = ghosts.slots
    ghosts.add(entry("late"), 5_000)
    assert ghosts.slots > 5_000 > before
    assert sum(ghosts.take(entry(number)) for number in range(100)) == 100


def test_the_numbers_start_again_when_they_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It then forgets everything once, and goes on."""
    monkeypatch.setattr(ghost, "_LAST_NUMBER", 3)
    ghosts = Ghosts()
    for key in "abcdef":
        ghosts.add(entry(key), 100)
    assert [ghosts.take(entry(key)) for key in "abcdef"] == [False] * 3 + [True] * 3


class Unhashable:
    """A key whose hash fails."""

    def __hash__(self) -> int:
        msg = "no hash today"
        raise RuntimeError(msg)


def test_a_key_whose_hash_fails_is_not_remembered() -> None:
    ghosts = Ghosts()
    ghosts.add(entry("a"), 5)
    ghosts.add(entry(Unhashable()), 5)
    assert not ghosts.take(entry(Unhashable()))
    assert ghosts.take(entry("a"))
