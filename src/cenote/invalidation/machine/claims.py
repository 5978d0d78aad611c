"""The claims of one machine, kept in the shared file: a table by hash, with the owner's place in each.

A claim is written under the file's lock. It counts as long as its owner lives, is of the same generation and is not
older than whoever asks allows. Each notes which claim its own load waits for; whoever would wait walks along these, and
does not wait in a circle.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from cenote.invalidation.claims import UNCLAIMED, Claims, Taken
from cenote.invalidation.machine.layout import CLAIMS, CLAIMS_AT, CLAIMS_EACH
from cenote.invalidation.machine.membership import Membership

__all__ = ["MachineClaims"]

_PROBES: Final = 8
_AT_ONCE: Final = 64
"""How many claims are written before others may have the file's lock."""
_EACH: Final = CLAIMS_EACH // 8
_OWNER, _FIRST, _SECOND, _GENERATION, _TAKEN_AT, _WAITS_FOR = range(6)


class MachineClaims(Claims):
    """The table of claims of a log; a claim's name is its number there, from 1."""

    def __init__(self, joined: Callable[[], Membership]) -> None:
        """Keep the claims of a log.

        Args:
            joined: Returns the membership in force.
        """
        self._joined = joined

    def take_each(
        self, cache: str | None, identifiers: Sequence[str], generation: int, *, inside: list[int], bound: float
    ) -> list[Taken | None]:
        """Claim loads; None where another process loads."""
        joined = self._joined()
        names = [_hash(cache, identifier) for identifier in identifiers]
        taken: list[Taken | None] = []
        for at in range(0, len(names), _AT_ONCE):
            with joined.file.lock:
                taken += [self._take(joined, name, generation, inside, bound) for name in names[at : at + _AT_ONCE]]
        return taken

    def _take(
        self, joined: Membership, name: tuple[int, int], generation: int, inside: list[int], bound: float
    ) -> Taken | None:
        """Claim one load; under the file's lock."""
        words = joined.file.words
        first, second = name
        now = time.monotonic_ns()
        free = None
        for at in _probes(first):
            if not words[at + _OWNER]:
                free = at if free is None else free
            elif words[at + _FIRST] == first and words[at + _SECOND] == second:
                if self._counts(joined, at, generation, now - int(bound * 1e9)):
                    return Taken(UNCLAIMED, stored=True) if self._would_circle(joined, at, inside) else None
                free = at
                break
            elif free is None and not joined.processes.alive(words[at + _OWNER] - 1):
                free = at
        if free is None:
            return Taken(UNCLAIMED, stored=True)
        words[free + _FIRST] = first
        words[free + _SECOND] = second
        words[free + _GENERATION] = generation
        words[free + _TAKEN_AT] = now
        words[free + _WAITS_FOR] = 0
        words[free + _OWNER] = joined.place.number + 1
        return Taken(_number(free), stored=True)

    def is_busy(self, cache: str | None, identifier: str, generation: int) -> bool:
        """Whether somebody's claim is there."""
        words = self._joined().file.words
        first, second = _hash(cache, identifier)
        return any(
            words[at + _OWNER]
            and words[at + _FIRST] == first
            and words[at + _SECOND] == second
            and words[at + _GENERATION] == generation
            for at in _probes(first)
        )

    def give_back_each(self, claims: Sequence[int], *, inside: list[int]) -> None:
        """Give claims back, and note that the loads around them wait for nobody."""
        joined = self._joined()
        words = joined.file.words
        for at in range(0, len(claims), _AT_ONCE):
            mine = claims[at : at + _AT_ONCE]
            with joined.file.lock:
                for each in (*mine, *inside):
                    if each and words[_at(each) + _OWNER] == joined.place.number + 1:
                        words[_at(each) + _WAITS_FOR] = 0
                        if each in mine:
                            words[_at(each) + _OWNER] = 0

    @staticmethod
    def _counts(joined: Membership, at: int, generation: int, oldest: int) -> bool:
        words = joined.file.words
        return bool(
            words[at + _GENERATION] == generation
            and words[at + _TAKEN_AT] >= oldest
            and joined.processes.alive(words[at + _OWNER] - 1)
        )

    @staticmethod
    def _would_circle(joined: Membership, at: int, inside: list[int]) -> bool:
        """Whether the claim waits, through any number of others, for one of the loads around; else note the wait."""
        words = joined.file.words
        if not inside:
            return False
        ahead = _number(at)
        for _ in range(CLAIMS):
            if ahead in inside:
                return True
            ahead = words[_at(ahead) + _WAITS_FOR]
            if not ahead:
                break
        for each in inside:
            words[_at(each) + _WAITS_FOR] = _number(at)
        return False


def _hash(cache: str | None, identifier: str) -> tuple[int, int]:
    name = f"{cache or ''}\0{identifier}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(name, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _probes(first: int) -> list[int]:
    return [(CLAIMS_AT // 8) + (first + probe) % CLAIMS * _EACH for probe in range(_PROBES)]


def _number(at: int) -> int:
    return (at - CLAIMS_AT // 8) // _EACH + 1


def _at(number: int) -> int:
    return CLAIMS_AT // 8 + (number - 1) * _EACH
