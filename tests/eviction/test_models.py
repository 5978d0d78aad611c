"""Every policy chooses the victims that its model chooses, in the same order."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cenote.entry import ParticularEntry
from cenote.eviction import POLICIES, EvictionPolicy

from .models import MODELS, Model, Name

NAMES = [(slot, key) for slot in range(2) for key in range(14)]


class Pair:
    """A policy and its model, fed the same."""

    def __init__(self, policy: str, capacity: int) -> None:
        self.capacity = capacity
        self.policy: EvictionPolicy = POLICIES[policy](capacity)
        self.model: Model = MODELS[policy](capacity)
        self.live: dict[Name, ParticularEntry] = {}

    def insert(self, name: Name, size: int) -> None:
        while self.live and self.total() + size > self.capacity:
            self.evict()
        slot, key = name
        entry = ParticularEntry(key, None, slot=slot)
        entry.size = size
        self.live[name] = entry
        self.policy.admit(entry)
        self.model.admit(name, size)

    def hit(self, name: Name) -> None:
        entry = self.live[name]
        if self.policy.touch is not None:
            self.policy.touch(entry)
        elif entry.freq < self.policy.touch_cap:
            entry.freq += 1
        self.model.hit(name)

    def remove(self, name: Name) -> None:
        entry = self.live.pop(name)
        self.policy.remove(entry)
        self.model.remove(name)
        assert entry.where == 0

    def resize(self, name: Name, size: int) -> None:
        entry = self.live[name]
        old_size, entry.size = entry.size, size
        self.policy.resize(entry, old_size)
        next(item for item in self.model.items() if item.name == name).size = size

    def evict(self) -> None:
        victim = self.policy.evict()
        expected = self.model.evict()
        assert (victim and (victim.slot, victim.key)) == expected
        if victim is not None and expected is not None:
            assert victim is self.live.pop(expected)
            assert victim.where == 0

    def total(self) -> int:
        return sum(entry.size for entry in self.live.values())

    def check(self) -> None:
        assert len(self.policy) == len(self.live) == len(self.model.items())


def machine(policy: str) -> type[RuleBasedStateMachine]:  # its rules belong into one class
    class Machine(RuleBasedStateMachine):
        pair: Pair

        @initialize(capacity=st.integers(1, 24))
        def start(self, capacity: int) -> None:
            self.pair = Pair(policy, capacity)

        @rule(data=st.data(), names=st.integers(1, 4), size=st.integers(0, 6) | st.just(1))
        def insert(self, data: st.DataObject, names: int, size: int) -> None:
            for _ in range(names):
                name = data.draw(st.sampled_from([name for name in NAMES if name not in self.pair.live]))
                self.pair.insert(name, min(size, self.pair.capacity))
                if len(self.pair.live) == len(NAMES):
                    self.pair.evict()

        @precondition(lambda self: self.pair.live)
        @rule(data=st.data(), times=st.integers(1, 4))
        def hit(self, data: st.DataObject, times: int) -> None:
            name = data.draw(st.sampled_from(sorted(self.pair.live)))
            for _ in range(times):
                self.pair.hit(name)

        @precondition(lambda self: self.pair.live)
        @rule(data=st.data())
        def remove(self, data: st.DataObject) -> None:
            self.pair.remove(data.draw(st.sampled_from(sorted(self.pair.live))))

        @precondition(lambda self: self.pair.live)
        @rule(data=st.data(), size=st.integers(0, 6))
        def resize(self, data: st.DataObject, size: int) -> None:
            self.pair.resize(data.draw(st.sampled_from(sorted(self.pair.live))), size)

        @rule()
        def evict(self) -> None:
            self.pair.evict()

        @invariant()
        def agree(self) -> None:
            if hasattr(self, "pair"):
                self.pair.check()

        def teardown(self) -> None:
            if hasattr(self, "pair"):
                for _ in range(len(self.pair.live)):
                    self.pair.evict()
                assert self.pair.policy.evict() is None

    return Machine


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_any_sequence_of_operations_evicts_what_the_model_evicts(policy: str) -> None:
    """Inserts, hits, removals, evictions and resizes in any order give the model's victims."""
    run_state_machine_as_test(
        machine(policy), settings=settings(max_examples=200, stateful_step_count=50, deadline=None)
    )


@pytest.mark.parametrize("removals", [0.0, 0.3])
@pytest.mark.parametrize("capacity", [1, 2, 3, 4, 6, 15, 30])
@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_a_long_skewed_run_evicts_what_the_model_evicts(policy: str, capacity: int, removals: float) -> None:
    """Thousands of skewed accesses, with removals between them, give the model's victims."""
    chance = random.Random(capacity)
    strangers = itertools.count()
    pair = Pair(policy, capacity)
    for _ in range(4_000):
        name = (chance.randrange(2), int(capacity * chance.random() ** 2))
        if name not in pair.live:
            pair.insert(name, 1)
        elif chance.random() < removals:
            pair.remove(name)
        else:
            pair.hit(name)
        if chance.random() < 0.03:
            pair.insert((2, next(strangers)), 1)
    pair.check()


def test_the_hand_of_sieve_starts_again_when_what_lay_ahead_is_removed() -> None:
    """An entry that joins after that is the youngest, not the next under the hand."""
    pair = Pair("sieve", 3)
    for key in range(3):
        pair.insert((0, key), 1)
    pair.hit((0, 0))
    pair.evict()
    pair.remove((0, 2))
    pair.insert((0, 3), 1)
    pair.evict()
    assert list(pair.live) == [(0, 3)]


def test_an_overfull_main_queue_gives_the_victim_before_more_is_promoted() -> None:
    """S3-FIFO stops promoting at the first entry too many."""
    pair = Pair("s3fifo", 20)
    for key in range(20):
        pair.insert((0, key), 1)
        for _ in range(2):
            pair.hit((0, key))
    for key in range(20, 30):
        pair.insert((0, key), 1)
        for _ in range(2):
            pair.hit((0, key))
    pair.check()
