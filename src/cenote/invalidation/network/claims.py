"""The claims of many machines: one process of a machine has the claim there, and asks for the one at the server.

A claim at the server lasts a short while and is made to last longer as long as its owner's process runs. So a loader
that crashed, or was stopped, loses it soon, and a long load keeps it.

Why nobody waits in a circle over machines: a load inside of another one waits for no other machine.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
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

    def take(
        self, cache: str | None, identifier: str, generation: int, *, inside: list[int], bound: float
    ) -> Taken | None:
        """Claim a load; None when another process loads, on this machine or on another one."""
        # Before anything is claimed: this may fail, and a claim that nobody knows of would keep others from loading.
        incarnation = self._incarnation()
        here = self._here.take(cache, identifier, generation, inside=inside, bound=bound)
        if here is None or here.claim == UNCLAIMED:
            return here
        try:
            found = self._take_there(here.claim, cache, identifier, generation, incarnation, bound)
        except BaseException:
            self.give_back(here.claim, inside=[])
            raise
        if found or inside:
            return Taken(here.claim, stored=found != 1)
        self.give_back(here.claim, inside=[])
        return None

    def _take_there(
        self, claim: int, cache: str | None, identifier: str, generation: int, incarnation: str, bound: float
    ) -> int:
        """Claim at the server what was claimed here; see ``Ledger.claim``."""
        value = self._ledger.value_key(incarnation, cache or "", generation, identifier)
        now = time.monotonic()
        held = _Held(value, secrets.token_hex(8), now, now + bound)
        with self._lock:
            # Before it is asked for: should the answer be lost, it is given back nevertheless.
            self._held[claim] = held
        try:
            found = self._ledger.claim(value, held.token, int(min(bound, CLAIM_SECONDS) * 1000))
        except UnreachableError:
            return 1
        if not found:
            with self._lock:
                self._held.pop(claim, None)
        return found

    def is_busy(self, cache: str | None, identifier: str, generation: int) -> bool:
        """Whether the claim of a process of this machine is there."""
        return self._here.is_busy(cache, identifier, generation)

    def give_back(self, claim: int, *, inside: list[int]) -> None:
        """Give a claim back, at the server and here."""
        with self._lock:
            held = self._held.pop(claim, None)
        try:
            if held is not None:
                self._ledger.extend(held.value, held.token, 0)
        except UnreachableError:
            pass  # it ends by itself
        finally:
            self._here.give_back(claim, inside=inside)

    def extend(self) -> None:
        """Have the claims last that loads of this process still need; call it several times in ``CLAIM_SECONDS``."""
        now = time.monotonic()
        with self._lock:
            due = [each for each in self._held.values() if now - each.extended > CLAIM_SECONDS / 4 and now < each.until]
        for held in due:
            try:
                self._ledger.extend(held.value, held.token, int(min(CLAIM_SECONDS, held.until - now) * 1000) or 1)
            except UnreachableError:
                return
            held.extended = now

    def after_fork(self) -> None:
        """In a forked child: the loads under way are the parent's."""
        self._lock = threading.Lock()
        self._held = {}
