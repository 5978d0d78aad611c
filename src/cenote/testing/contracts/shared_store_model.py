"""A shared store that is nothing but a dict, and a state machine that drives another one beside it."""

# ruff: noqa: S101  # a contract is made of assertions

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cenote.clock import Clock
from cenote.stores.shared import Place, SharedStore
from cenote.stores.stored import SOFT, StoredEntry, pack, unpack
from cenote.testing.clock import FakeClock

__all__ = ["ODD_IDENTIFIERS", "DictSharedStore", "shared_machine"]

ODD_IDENTIFIERS = [
    " ",
    "a",
    "a\0",
    "a\0b",
    "\0\0\0\0\0\0\0\0\0",
    "e\u0301",
    "\u00e9",
    "\U0001f600",
    "x" * 480,
    "x" * 600,
    "x" * 5000,
    "x" * 5000 + "y",
    "\U0001f600" * 200,
    "\U0001f600" * 200 + "\0",
]
CACHES = st.sampled_from(["", "user", "users"])
GENERATIONS = st.integers(0, 2)
IDENTIFIERS = st.sampled_from(["a", "ab", "b", "chapter:1", *ODD_IDENTIFIERS])
TAGS = st.frozensets(st.sampled_from(["red", "blue", "r", "t" * 700]), max_size=3)
LIFETIMES = st.sampled_from([float("inf"), 0.0, 1.0, 5.0, 60.0])


@dataclass
class _Held:
    data: bytes
    end: float


class DictSharedStore(SharedStore):
    """Entries in a dict, without limit; what the contract and its machine compare with.

    Args:
        clock: Where the wall-clock time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.held: dict[Place, dict[str, _Held]] = {}
        self.known = ("", 0)

    def _at(self, cache: str, generation: int) -> dict[str, _Held]:
        return self.held.setdefault((cache, generation), {})

    def _saw(self, sequence: int) -> None:
        self.known = self.known[0], max(self.known[1], sequence)

    def find(self, cache: str, generation: int, identifier: str) -> StoredEntry | None:
        held = self._at(cache, generation).get(identifier)
        return None if held is None or held.end <= self.clock.time() else unpack(held.data)

    def find_fresh(self, cache: str, generation: int, identifier: str, *, floor: int) -> bytes | None:
        entry = self.find(cache, generation, identifier)
        if entry is None or entry.birth < floor or entry.expires <= self.clock.time() or entry.fingerprint:
            return None
        return entry.payload

    def put(self, cache: str, generation: int, entry: StoredEntry, *, sequence: int) -> int:
        self._saw(sequence)
        self._at(cache, generation)[entry.identifier] = _Held(pack(entry), entry.hard_until)
        return 0

    def remove(self, cache: str, generation: int, identifier: str, *, sequence: int) -> bool:
        return self.remove_many(cache, generation, [identifier], before=1 << 62, sequence=sequence) > 0

    def remove_many(
        self, cache: str, generation: int, identifiers: Iterable[str], *, before: int, sequence: int
    ) -> int:
        self._saw(sequence)
        gone = 0
        for identifier in identifiers:
            held = self._at(cache, generation).get(identifier)
            if held is not None and unpack(held.data).birth < before:
                del self._at(cache, generation)[identifier]
                gone += held.end > self.clock.time()
        return gone

    def soften_many(
        self, cache: str, generation: int, identifiers: Iterable[str], *, before: int, sequence: int
    ) -> int:
        self._saw(sequence)
        softened = 0
        for identifier in identifiers:
            held = self._at(cache, generation).get(identifier)
            entry = None if held is None else unpack(held.data)
            if held is not None and entry is not None and SOFT < entry.birth < before:
                entry.birth = SOFT
                held.data = pack(entry)
                softened += held.end > self.clock.time()
        return softened

    def carriers(self, cache: str, generation: int, tags: Iterable[str], limit: int) -> list[str]:
        wanted = set(tags)
        held = self._at(cache, generation)
        return [name for name, one in held.items() if unpack(one.data).tags & wanted][:limit]

    def matching(self, cache: str, generation: int, prefix: str, *, after: str | None = None, limit: int) -> list[str]:
        names = sorted(name for name in self._at(cache, generation) if name.startswith(prefix))
        return [name for name in names if after is None or name > after][:limit]

    def entries(
        self, cache: str, generation: int, *, prefix: str = "", after: str | None = None, limit: int
    ) -> list[StoredEntry]:
        names = self.matching(cache, generation, prefix, after=after, limit=1 << 62)
        found = [entry for name in names if (entry := self.find(cache, generation, name)) is not None]
        for entry in found:
            entry.payload = b""
        return found[:limit]

    def count(self, cache: str, generation: int) -> tuple[int, int]:
        held = self._at(cache, generation).values()
        return len(held), sum(len(one.data) for one in held)

    def sweep(self, limit: int) -> dict[Place, int]:
        now = self.clock.time()
        over = [(one.end, place, name) for place, held in self.held.items() for name, one in held.items()]
        swept: dict[Place, int] = {}
        for end, place, name in sorted(over)[:limit]:
            if end <= now:
                del self.held[place][name]
                swept[place] = swept.get(place, 0) + 1
        return swept

    def reap(self, floor: Callable[[str], int], limit: int) -> int:
        waiting = [(place, name) for place, held in self.held.items() if place[1] < floor(place[0]) for name in held]
        for place, name in waiting[:limit]:
            del self.held[place][name]
        return len(waiting[:limit])

    def garbage(self, floor: Callable[[str], int]) -> int:
        return sum(len(held) for place, held in self.held.items() if place[1] < floor(place[0]))

    def mark(self, sequence: int) -> None:
        self._saw(sequence)

    @property
    def stamp(self) -> tuple[str, int]:
        return self.known

    def reset(self, incarnation: str, head: int) -> None:
        self.held.clear()
        self.known = incarnation, head

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass

    def after_fork(self) -> None:
        pass


class _Machine(RuleBasedStateMachine):
    """Asks a store and the dict the same, and expects the same answers."""

    make: Callable[[Clock], SharedStore]
    audit: Callable[[SharedStore], None]

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store = type(self).make(self.clock)
        self.store.reset("first", 0)
        self.model = DictSharedStore(self.clock)
        self.model.reset("first", 0)
        self.sequence = 0

    def both(self, ask: Callable[[SharedStore], Any]) -> Any:
        answer, expected = ask(self.store), ask(self.model)
        assert answer == expected, f"{answer} is not {expected}"
        return answer

    def next(self) -> int:
        self.sequence += 1
        return self.sequence

    @rule(cache=CACHES, generation=GENERATIONS, identifier=IDENTIFIERS, tags=TAGS, life=LIFETIMES)
    def put(self, cache: str, generation: int, identifier: str, tags: frozenset[str], life: float) -> None:
        number = self.next()
        end = self.clock.time() + life
        entry = StoredEntry(identifier, number, hard_until=end, tags=tags, payload=str(number).encode() * (number % 9))
        self.both(lambda store: store.put(cache, generation, entry, sequence=number))

    @rule(cache=CACHES, generation=GENERATIONS, identifier=IDENTIFIERS)
    def remove(self, cache: str, generation: int, identifier: str) -> None:
        number = self.next()
        self.both(lambda store: store.remove(cache, generation, identifier, sequence=number))

    @rule(cache=CACHES, generation=GENERATIONS, some=st.lists(IDENTIFIERS, max_size=6), back=st.integers(0, 9))
    def remove_many(self, cache: str, generation: int, some: list[str], back: int) -> None:
        number = self.next()
        before = number - back
        self.both(lambda store: store.remove_many(cache, generation, some, before=before, sequence=number))

    @rule(cache=CACHES, generation=GENERATIONS, some=st.lists(IDENTIFIERS, max_size=6), back=st.integers(0, 9))
    def soften_many(self, cache: str, generation: int, some: list[str], back: int) -> None:
        number = self.next()
        before = number - back
        self.both(lambda store: store.soften_many(cache, generation, some, before=before, sequence=number))

    @rule(cache=CACHES, generation=GENERATIONS, tags=TAGS)
    def carriers(self, cache: str, generation: int, tags: frozenset[str]) -> None:
        self.both(lambda store: sorted(store.carriers(cache, generation, tags, 1000)))

    @rule(seconds=st.sampled_from([0.0, 0.5, 4.0, 100.0]))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.both(lambda store: store.sweep(1000))

    @rule(limit=st.integers(0, 3), user=GENERATIONS, users=GENERATIONS)
    def reap(self, limit: int, user: int, users: int) -> None:
        floors = {"": 1, "user": user, "users": users}
        waiting = self.both(lambda store: store.garbage(floors.__getitem__))
        assert self.store.reap(floors.__getitem__, limit) == min(limit, waiting)
        self.store.reap(floors.__getitem__, 1000)
        self.model.reap(floors.__getitem__, 1000)
        assert self.both(lambda store: store.garbage(floors.__getitem__)) == 0

    @rule(head=st.integers(0, 3))
    def reset(self, head: int) -> None:
        self.both(lambda store: store.reset(f"incarnation {head}", head))

    @invariant()
    def agree(self) -> None:
        type(self).audit(self.store)
        self.both(lambda store: store.stamp)
        for (cache, generation), held in list(self.model.held.items()):
            self.both(lambda store, at=(cache, generation): store.count(*at)[0])  # type: ignore[misc]  # bound at once
            assert (self.store.count(cache, generation)[1] == 0) == (not held)
            for prefix in ("", "a", "x" * 500):
                names = self.store.matching(cache, generation, prefix, limit=1000)
                assert sorted(names) == self.model.matching(cache, generation, prefix, limit=1000)
                page = names[: len(names) // 2]
                if page:
                    rest = self.store.matching(cache, generation, prefix, after=page[-1], limit=1000)
                    assert page + rest == names
            listed = {entry.identifier: entry for entry in self.store.entries(cache, generation, limit=1000)}
            assert listed == {entry.identifier: entry for entry in self.model.entries(cache, generation, limit=1000)}
            for name in held:
                assert self.store.find(cache, generation, name) == self.model.find(cache, generation, name)


def shared_machine(
    make: Callable[[Clock], SharedStore], audit: Callable[[SharedStore], None]
) -> type[RuleBasedStateMachine]:
    """Make the state machine of a shared store without limit.

    Args:
        make: Gives a store, which is reset before use.
        audit: Asked to check the store after every step.
    """
    return type("SharedStoreMachine", (_Machine,), {"make": staticmethod(make), "audit": staticmethod(audit)})
