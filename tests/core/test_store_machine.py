"""Any sequence of changes: a store against a dict, and a cache against a plain model."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from cenote import CacheManager
from cenote.entry import FOREVER, ParticularEntry
from cenote.options import CacheOptions
from cenote.stores.memory import MemoryStore
from cenote.testing import FakeClock

KEYS = st.sampled_from(["a", "b", "ab", "f(1)", "f(2)", "z"])
TAGS = st.frozensets(st.sampled_from(["x", "y", "z"]), max_size=2)
SECONDS = st.sampled_from([0.01, 0.5, 1.0, 7.0, 60.0, 5000.0])


class StoreMachine(RuleBasedStateMachine):
    """A memory store keeps, finds and drops what a dict does."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = MemoryStore(CacheOptions(max_entries=None, ttl=7.0), 2)
        self.model: dict[tuple[int, str], tuple[int, float, frozenset[str]]] = {}
        self.numbers = 0

    @rule(key=KEYS, slot=st.integers(0, 1), ttl=st.none() | SECONDS, tags=TAGS)
    def put(self, key: str, slot: int, ttl: float | None, tags: frozenset[str]) -> None:
        self.numbers += 1
        end = FOREVER if ttl is None else self.clock.monotonic() + ttl
        entry = ParticularEntry(key, self.numbers, slot=slot, fresh_until=end, hard_until=end, expires=end, tags=tags)
        assert self.store.put(entry) == []
        self.model[slot, key] = (self.numbers, end, tags)

    @rule(key=KEYS, slot=st.integers(0, 1))
    def remove(self, key: str, slot: int) -> None:
        entry = self.store.find(key, slot)
        assert (entry is not None) is ((slot, key) in self.model)
        if entry is not None:
            assert self.store.remove(entry) is True
            assert self.store.remove(entry) is False
            del self.model[slot, key]

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(impatient=st.booleans())
    def sweep(self, impatient: bool) -> None:
        now = self.clock.monotonic()
        ended = {place for place, (_, end, _) in self.model.items() if end <= now}
        swept = self.store.sweep(now, (lambda: True) if impatient else None)
        while impatient and (more := self.store.sweep(now)):
            swept += more
        assert swept == len(ended)
        for place in ended:
            del self.model[place]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.store) == len(self.model) == self.store.size
        held = {(entry.slot, entry.key): (entry.value, entry.hard_until, entry.tags) for entry in self.store.entries()}
        assert held == self.model
        for tag in ("x", "y", "z"):
            carriers = {(entry.slot, entry.key) for entry in self.store.tagged([tag])}
            assert carriers == {place for place, (_, _, tags) in self.model.items() if tag in tags}
        assert self.store.expiring >= sum(end != FOREVER for _, end, _ in self.model.values())


class CacheMachine(RuleBasedStateMachine):
    """A cache serves, counts and lists what a dict with ends, tags and a stale mark would."""

    tokens: Bundle = Bundle("tokens")

    @initialize(eviction=st.sampled_from(["s3fifo", "lru", "sieve"]), ttl=st.none() | SECONDS)
    def make(self, eviction: str, ttl: float | None) -> None:
        self.clock = FakeClock()
        self.caches = CacheManager(clock=self.clock)
        self.cache = self.caches.service("made", eviction=eviction, ttl=ttl, max_entries=100)
        self.f = self.cache.memoize(name="f", tags=lambda value: [f"t{value}"])(lambda value: -value)
        self.ttl = ttl
        self.model: dict[str, list] = {}
        self.hits = self.misses = self.gone = self.ended = 0
        self.numbers = 0
        self.soft_clears: list[bool] = []  # whether each was of the whole cache

    def teardown(self) -> None:
        self.caches.close()

    def live(self) -> dict[str, list]:
        now = self.clock.monotonic()
        for key in [key for key, (_, end, _, _) in self.model.items() if end <= now]:
            del self.model[key]
            self.ended += 1
        return self.model

    def store(self, key: str, value: int, ttl: float | None, tags: frozenset[str]) -> None:
        self.live()
        self.model[key] = [value, FOREVER if ttl is None else self.clock.monotonic() + ttl, tags, False]

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    @rule(key=KEYS, tags=TAGS)
    def set(self, key: str, tags: frozenset[str]) -> None:
        value = self.number()
        len(self.cache)
        self.cache.set(key, value, tags=tags)
        self.store(key, value, self.ttl, tags)

    @rule(key=KEYS, ttl=st.none() | SECONDS, tags=TAGS)
    def set_for(self, key: str, ttl: float | None, tags: frozenset[str]) -> None:
        value = self.number()
        len(self.cache)
        self.cache.set(key, value, ttl=ttl, tags=tags)
        self.store(key, value, ttl, tags)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        found = self.live().get(key)
        expected = found[0] if found is not None and not found[3] else None
        assert self.cache.get(key) == expected
        self.hits += expected is not None
        self.misses += expected is None

    @rule(key=KEYS, tags=TAGS)
    def get_or_load(self, key: str, tags: frozenset[str]) -> None:
        found = self.live().get(key)
        value = self.number()
        len(self.cache)
        got = self.cache.get_or_load(key, lambda: value, tags=tags)
        if found is not None and not found[3]:
            assert got == found[0]
            self.hits += 1
        else:
            assert got == value
            self.misses += 1
            self.store(key, value, self.ttl, tags)

    @rule(argument=st.integers(1, 2))
    def call(self, argument: int) -> None:
        key = f"f({argument})"
        found = self.live().get(key)
        len(self.cache)
        got = self.f(argument)
        if found is not None and not found[3]:
            assert got == found[0]
            self.hits += 1
        else:
            assert got == -argument
            self.misses += 1
            self.store(key, -argument, self.ttl, frozenset({f"t{argument}"}))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        assert self.cache.delete(key) is (key in self.live())
        self.gone += self.model.pop(key, None) is not None

    @rule(argument=st.integers(1, 2))
    def invalidate(self, argument: int) -> None:
        key = f"f({argument})"
        assert self.f.invalidate(argument) is (key in self.live())
        self.gone += self.model.pop(key, None) is not None

    @rule(soft=st.booleans(), prefix=st.none() | st.sampled_from(["", "a", "f(", "f(1)", "q"]), tags=st.none() | TAGS)
    def clear(self, soft: bool, prefix: str | None, tags: frozenset[str] | None) -> None:
        whole = prefix is None and tags is None
        covered = sorted(
            key
            for key, (_, _, carried, _) in self.live().items()
            if whole or (prefix is not None and key.startswith(prefix)) or (tags is not None and carried & tags)
        )
        mode = "soft" if soft else "hard"
        assert self.cache.clear(mode=mode, prefix=prefix, tags=tags, dry_run=True).entries_cleared == len(covered)
        result = self.cache.clear(mode=mode, prefix=prefix, tags=tags)
        assert sorted(result.cleared_items) == covered
        assert result.entries_cleared == len(covered)
        self.gone += len(covered)
        if soft:
            self.soft_clears.append(whole)
        for key in covered:
            if soft:
                self.model[key][3] = True
            else:
                del self.model[key]

    @rule()
    def clear_all(self) -> None:
        assert self.caches.clear_all().entries_cleared == len(self.live())
        self.gone += len(self.model)
        self.model.clear()

    @rule()
    def cache_clear(self) -> None:
        covered = [key for key in self.live() if key.startswith("f(")]
        self.f.cache_clear()
        self.gone += len(covered)
        for key in covered:
            del self.model[key]

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(target=tokens, key=KEYS)
    def fill(self, key: str):
        return [self.cache.fill(key), key, dict(self.live()).get(key), self.gone, len(self.soft_clears)]

    @rule(token=consumes(tokens))
    def fill_set(self, token) -> None:
        fill, key, before, gone, earlier = token
        value = self.number()
        len(self.cache)
        changed = self.live().get(key) is not before or self.gone != gone
        stored = fill.set(value)
        if not changed and before is not None:
            assert stored is True
        if stored:
            self.store(key, value, self.ttl, frozenset())
            since = self.soft_clears[earlier:]
            # A token from before a soft clear brings a stale value; the cache knows what a selective one covered.
            stale = bool(since) and self.cache.explain(key).state == "stale"
            assert stale or not any(since)
            self.model[key][3] = stale

    @invariant()
    def is_what_the_model_is(self) -> None:
        if not hasattr(self, "model"):
            return
        live = self.live()
        assert len(self.cache) == len(live)
        assert self.cache.keys() == sorted(live)
        for key in ["a", "f(1)", "z"]:
            info = self.cache.explain(key)
            assert info.found is (key in self.cache) is (key in live)
            if info.found:
                assert info.tags == tuple(sorted(live[key][2]))
                assert info.state == ("stale" if live[key][3] else "fresh")
        stats = self.cache.stats()
        assert (stats.hits, stats.misses, stats.current_size) == (self.hits, self.misses, len(live))
        assert (stats.invalidations, stats.expirations, stats.evictions) == (self.gone, self.ended, 0)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
