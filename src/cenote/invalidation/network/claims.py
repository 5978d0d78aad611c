"""The claims of many machines: one process of a machine has the claim there, and asks for the one at the server.

A claim at the server lasts a short while and is made to last longer as long as its owner's process runs. So a loader
that crashed, or was stopped, loses it soon, and a long load keeps it.

Why nobody waits in a circle over machines: a load inside of another one waits for no other machine.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cenote.invalidation.claims import UNCLAIMED, Claims, Taken
from cenote.invalidation.network.ledger import Ledger
from cenote.invalidation.network.link import UnreachableError

__all__ = ["CLAIM_SECONDS", "NetworkClaims"]

CLAIM_SECONDS: Final = 3.0
"""How long the claim of a loader that crashed keeps others from loading."""


@dataclass(slots=True)
class _Held:
    """A claim at the server.

    Attributes:
        value: The key of the value that is loaded.
        token: What proves whose it is.
        extended: When it was last made to last, in monotonic seconds.
        until: When it does not count any more.
    """

    value: bytes
    token: str
    extended: float
    until: float


class NetworkClaims(Claims):
    """Claims on this machine, and at the server those that were had here."""

    def __init__(self, here: Claims, ledger: Ledger, incarnation: Callable[[], str]) -> None:
        """Hold none.

        Args:
            here: The claims of this machine.
            ledger: The namespace at the server.
            incarnation: Returns the incarnation in force.
        """
        self._here = here
        self._ledger = ledger
        self._incarnation = incarnation
        self._lock = threading.Lock()
        self._held: dict[int, _Held] = {}

    def take_each(
        self, cache: str | None, identifiers: Sequence[str], generation: int, *, inside: list[int], bound: float
    ) -> list[Taken | None]:
        """Claim loads, at the server in one round trip; None where another process loads, on whatever machine."""
        # Before anything is claimed: this may fail, and a claim that nobody knows of would keep others from loading.
        incarnation = self._incarnation()
        taken = self._here.take_each(cache, identifiers, generation, inside=inside, bound=bound)
        had = {n: each.claim for n, each in enumerate(taken) if each is not None and each.claim != UNCLAIMED}
        if not had:
            return taken
        claims = list(had.values())
        values = [self._ledger.value_key(incarnation, cache or "", generation, identifiers[n]) for n in had]
        try:
            found = self._take_there(claims, values, bound)
        except BaseException:
            self.give_back_each(claims, inside=[])
            raise
        if found is None:
            return [None if each is None else each._replace(stored=False) for each in taken]
        for (n, claim), answer in zip(had.items(), found, strict=True):
            if answer:
                taken[n] = Taken(claim, stored=answer > 1)
            elif not inside:
                taken[n] = None
        refused = [claim for n, claim in had.items() if taken[n] is None]
        if refused:
            self._here.give_back_each(refused, inside=[])
        return taken

    def _take_there(self, claims: list[int], values: list[bytes], bound: float) -> list[int] | None:
        """Claim at the server what was claimed here; None where it is out of reach. See ``Ledger.claim``."""
        token = secrets.token_hex(8)
        now = time.monotonic()
        with self._lock:
            # Before they are asked for: should the answer be lost, they are given back nevertheless.
            for claim, value in zip(claims, values, strict=True):
                self._held[claim] = _Held(value, token, now, now + bound)
        try:
            found = self._ledger.claim(values, token, int(min(bound, CLAIM_SECONDS) * 1000))
        except UnreachableError:
            return None
        with self._lock:
            for claim, answer in zip(claims, found, strict=True):
                if not answer:
                    self._held.pop(claim, None)
        return found

    def is_busy(self, cache: str | None, identifier: str, generation: int) -> bool:
        """Whether the claim of a process of this machine is there."""
        return self._here.is_busy(cache, identifier, generation)

    def give_back_each(self, claims: Sequence[int], *, inside: list[int]) -> None:
        """Give claims back, at the server in one round trip, and here."""
        with self._lock:
            held = [found for claim in claims if (found := self._held.pop(claim, None)) is not None]
        try:
            self._ledger.extend([(each.value, each.token, 0) for each in held])
        except UnreachableError:
            pass  # they end by themselves
        finally:
            self._here.give_back_each(claims, inside=inside)

    def extend(self) -> None:
        """Have the claims last that loads of this process still need; call it several times in ``CLAIM_SECONDS``."""
        now = time.monotonic()
        with self._lock:
            due = [each for each in self._held.values() if now - each.extended > CLAIM_SECONDS / 4 and now < each.until]
        try:
            self._ledger.extend(
                [(held.value, held.token, int(min(CLAIM_SECONDS, held.until - now) * 1000) or 1) for held in due]
            )
        except UnreachableError:
            return
        for held in due:
            held.extended = now

    def after_fork(self) -> None:
        """In a forked child: the loads under way are the parent's."""
        self._lock = threading.Lock()
        self._held = {}
