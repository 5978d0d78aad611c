"""The policies once more, slow and plain, written from their papers on lists; the oldest item comes first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["MODELS", "LruModel", "Model", "S3FifoModel", "SieveModel"]

Name = tuple[int, int]


@dataclass
class Item:
    """What a model knows of an entry."""

    name: Name
    size: int
    freq: int = 0


class Model(Protocol):
    """What the tests drive beside a policy."""

    def __init__(self, capacity: int) -> None: ...

    def items(self) -> list[Item]: ...

    def admit(self, name: Name, size: int) -> None: ...

    def hit(self, name: Name) -> None: ...

    def remove(self, name: Name) -> None: ...

    def evict(self) -> Name | None: ...


def _find(items: list[Item], name: Name) -> Item:
    return next(item for item in items if item.name == name)


def _total(items: list[Item]) -> int:
    return sum(item.size for item in items)


class LruModel:
    """A list in order of use."""

    def __init__(self, capacity: int) -> None:
        del capacity
        self.queue: list[Item] = []

    def items(self) -> list[Item]:
        return self.queue

    def admit(self, name: Name, size: int) -> None:
        self.queue.append(Item(name, size))

    def hit(self, name: Name) -> None:
        item = _find(self.queue, name)
        self.queue.remove(item)
        self.queue.append(item)

    def remove(self, name: Name) -> None:
        self.queue.remove(_find(self.queue, name))

    def evict(self) -> Name | None:
        return self.queue.pop(0).name if self.queue else None


class SieveModel:
    """Algorithm 1 of the SIEVE paper; ``hand`` is an item or None for the tail."""

    def __init__(self, capacity: int) -> None:
        del capacity
        self.queue: list[Item] = []
        self.hand: Item | None = None

    def items(self) -> list[Item]:
        return self.queue

    def admit(self, name: Name, size: int) -> None:
        self.queue.append(Item(name, size))

    def hit(self, name: Name) -> None:
        _find(self.queue, name).freq = 1

    def remove(self, name: Name) -> None:
        item = _find(self.queue, name)
        if item is self.hand:
            self.hand = self._younger(item)
        self.queue.remove(item)

    def evict(self) -> Name | None:
        if not self.queue:
            return None
        item = self.hand or self.queue[0]
        while item.freq:
            item.freq = 0
            item = self._younger(item) or self.queue[0]
        self.hand = self._younger(item)
        self.queue.remove(item)
        return item.name

    def _younger(self, item: Item) -> Item | None:
        place = self.queue.index(item) + 1
        return self.queue[place] if place < len(self.queue) else None


class S3FifoModel:
    """Algorithm 1 of the S3-FIFO paper, with the ghost's age counted in evictions, as its section on the ghost says."""

    def __init__(self, capacity: int) -> None:
        self.small_target = max(1, capacity // 10)
        self.main_target = capacity - self.small_target
        self.small: list[Item] = []
        self.main: list[Item] = []
        self.evicted: list[Name | None] = []
        self.remembered = 0

    def items(self) -> list[Item]:
        return self.small + self.main

    def admit(self, name: Name, size: int) -> None:
        lately = self.evicted[max(0, len(self.evicted) - self.remembered) :]
        if name in lately:
            self.evicted[len(self.evicted) - lately[::-1].index(name) - 1] = None
            self.main.append(Item(name, size))
        else:
            self.small.append(Item(name, size))

    def hit(self, name: Name) -> None:
        item = _find(self.items(), name)
        item.freq = min(item.freq + 1, 3)

    def remove(self, name: Name) -> None:
        for queue in (self.small, self.main):
            queue[:] = [item for item in queue if item.name != name]

    def evict(self) -> Name | None:
        if not self.items():
            return None
        if _total(self.small) >= self.small_target or not self.main:
            return self._evict_small()
        return self._evict_main()

    def _evict_small(self) -> Name:
        live = len(self.items())
        while self.small:
            item = self.small.pop(0)
            if item.freq <= 1:
                # A ghost for as many entries as the main queue holds when the cache is full.
                self.remembered = max(self.remembered, min(self.main_target, live - max(1, live // 10)))
                self.evicted.append(item.name)
                return item.name
            item.freq = 0
            self.main.append(item)
            if _total(self.main) > self.main_target:
                break
        return self._evict_main()

    def _evict_main(self) -> Name:
        while True:
            item = self.main.pop(0)
            if item.freq == 0:
                return item.name
            item.freq -= 1
            self.main.append(item)


MODELS: dict[str, type[Model]] = {"lru": LruModel, "s3fifo": S3FifoModel, "sieve": SieveModel}
