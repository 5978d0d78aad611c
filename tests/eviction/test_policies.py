"""What every policy promises to a store, whatever order it evicts in."""

from __future__ import annotations

import pytest

from cenote import locks
from cenote.entry import Entry, ParticularEntry
from cenote.eviction import POLICIES, EvictionPolicy
from cenote.eviction.policy import PATIENCE, SLACK

EVERYTHING = 1 << 40


@pytest.fixture(params=sorted(POLICIES))
def kind(request: pytest.FixtureRequest) -> type[EvictionPolicy]:
    return POLICIES[request.param]


def hit(policy: EvictionPolicy, entry: Entry) -> None:
    if policy.touch is not None:
        policy.touch(entry)
    elif entry.freq < policy.touch_cap:
        entry.freq += 1


def filled(policy: EvictionPolicy, count: int) -> list[Entry]:
    entries = [Entry(number, None) for number in range(count)]
    for entry in entries:
        policy.admit(entry)
    return entries


def test_a_capacity_below_one_is_refused(kind: type[EvictionPolicy]) -> None:
    with pytest.raises(ValueError, match="capacity must be at least 1, not 0"):
        kind(0)


def test_an_empty_policy_has_no_victim(kind: type[EvictionPolicy]) -> None:
    assert kind(5).evict() is None


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_a_tiny_cache_turns_over(kind: type[EvictionPolicy], capacity: int) -> None:
    """Capacities below the smallest share of a queue still give one victim for each entry too many."""
    policy = kind(capacity)
    for number in range(100):
        if len(policy) == capacity:
            victim = policy.evict()
            assert victim is not None
            assert victim.where == 0
        entry = Entry(number % 7, None)
        policy.admit(entry)
        hit(policy, entry)
        hit(policy, entry)
    assert len(policy) == capacity


def test_removing_what_is_not_held_changes_nothing(kind: type[EvictionPolicy]) -> None:
    """A second removal, the removal of a victim and its resize are ignored."""
    policy = kind(10)
    first, second, third = filled(policy, 3)
    policy.remove(second)
    policy.remove(second)
    victim = policy.evict()
    assert victim is first
    policy.remove(victim)
    policy.resize(victim, 4)
    assert len(policy) == 1
    assert policy.evict() is third
    assert policy.evict() is None


def test_hits_on_entries_that_left_are_ignored(kind: type[EvictionPolicy]) -> None:
    policy = kind(10)
    gone, kept = filled(policy, 2)
    policy.remove(gone)
    hit(policy, gone)
    hit(policy, gone)
    assert len(policy) == 1
    assert policy.evict() is kept
    assert policy.evict() is None
    assert gone.where == 0


@pytest.mark.parametrize("count", [4_000, 20_000])
@pytest.mark.parametrize("passes", [0, 1, 3])
def test_removed_entries_leave_a_bounded_number_of_slots(kind: type[EvictionPolicy], passes: int, count: int) -> None:
    """However many entries are removed, each queue keeps at most live + SLACK dead slots."""
    policy = kind(count)
    entries = filled(policy, count)
    for entry in entries[::2]:
        for _ in range(passes):
            hit(policy, entry)
    policy.evict()
    for entry in entries[:-10]:
        policy.remove(entry)
    queues = 2
    assert len(policy) == 10
    assert policy.shed(EVERYTHING) <= 2 * len(entries[-10:]) + queues * SLACK


def test_compaction_keeps_the_order(kind: type[EvictionPolicy]) -> None:
    policy = kind(10_000)
    entries = filled(policy, 10_000)
    for entry in entries:
        if entry.key % 100:
            policy.remove(entry)
    assert [entry.key for entry in iter(policy.evict, None) if entry] == list(range(0, 10_000, 100))


def test_shedding_lets_go_of_every_slot_in_steps(kind: type[EvictionPolicy]) -> None:
    policy = kind(1_000)
    for entry in filled(policy, 1_000)[:50]:
        hit(policy, entry)
    policy.evict()
    steps = list(iter(lambda: policy.shed(300), 0))
    assert all(step <= 300 for step in steps)
    assert sum(steps) >= 999
    assert policy.evict() is None


class AlwaysHit(Entry):
    """An entry that other threads hit between any two looks at it."""

    __slots__ = ()
    looks = 0

    @property
    def freq(self) -> int:  # type: ignore[override]  # stands in for a slot that others keep writing
        AlwaysHit.looks += 1
        assert AlwaysHit.looks < 10 * PATIENCE, "the search for a victim does not end"
        return 3

    @freq.setter
    def freq(self, value: int) -> None:
        pass


def test_an_eviction_ends_though_every_entry_keeps_being_hit(kind: type[EvictionPolicy]) -> None:
    policy = kind(3 * PATIENCE)
    for number in range(3 * PATIENCE):
        policy.admit(AlwaysHit(number, None))
    for _ in range(3):
        AlwaysHit.looks = 0
        assert policy.evict() is not None
    assert len(policy) == 3 * PATIENCE - 3


def test_weights_decide_which_queue_is_full() -> None:
    """S3-FIFO measures its small queue in units of size: one heavy entry fills it."""
    policy = POLICIES["s3fifo"](100)
    light, heavy = ParticularEntry("light", None), ParticularEntry("heavy", None)
    light.size, heavy.size = 1, 1
    for entry in (light, heavy):
        policy.admit(entry)
        entry.freq = 2
    main = policy.evict()
    assert main is light
    late = ParticularEntry("late", None)
    late.size = 1
    policy.admit(late)
    late.size = 10
    policy.resize(late, 1)
    assert policy.evict() is late


def test_touches_are_worked_off_by_the_threads_that_hit() -> None:
    """With the write lock at hand, LRU's backlog stays small though nobody writes."""
    lock = locks.make_lock()
    policy = POLICIES["lru"](100, lock)
    entries = filled(policy, 100)
    for round_ in range(1_000):
        for entry in entries[round_ % 7 :: 9]:
            hit(policy, entry)
    assert policy.shed(EVERYTHING) <= 2 * 100 + SLACK + 1_025


def test_a_touch_inside_a_write_waits_for_its_end() -> None:
    """A touch by the thread that holds the write lock does not reorder the queues below the running write."""
    lock = locks.make_lock()
    policy = POLICIES["lru"](10, lock)
    first, second = filled(policy, 2)
    with lock:
        for _ in range(5_000):
            hit(policy, first)
        assert first.where == second.where == 1
    assert policy.evict() is second
