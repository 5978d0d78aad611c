"""The port of claims: which process loads a key, so that the others wait for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["UNCLAIMED", "Claims", "Taken"]

UNCLAIMED: Final = 0
"""The claim of a load that goes on without one."""


class Taken(NamedTuple):
    """A claim that was had.

    Attributes:
        claim: Its name; UNCLAIMED where the load goes on without one.
        stored: Whether somebody may have stored a value meanwhile.
    """

    claim: int
    stored: bool


class Claims(ABC):
    """The loads that the processes of a log have under way.

    A claim is a courtesy: losing one costs a second load, never a wrong value.
    """

    def take(
        self, cache: str | None, identifier: str, generation: int, *, inside: list[int], bound: float
    ) -> Taken | None:
        """Claim a load; see ``take_each``."""
        return self.take_each(cache, [identifier], generation, inside=inside, bound=bound)[0]

    @abstractmethod
    def take_each(
        self, cache: str | None, identifiers: Sequence[str], generation: int, *, inside: list[int], bound: float
    ) -> list[Taken | None]:
        """Claim loads, each for itself.

        Args:
            cache: The cache.
            identifiers: The entries'.
            generation: That of the State which they publish into; claims of another one do not count.
            inside: The claims of the loads that these run inside of: who waits for one of them is not waited for.
            bound: Seconds after which another's claim does not count.

        Returns:
            The claim of each; None where another process loads.
        """

    @abstractmethod
    def is_busy(self, cache: str | None, identifier: str, generation: int) -> bool:
        """Whether somebody's claim is there; cheap, and it may be that of a dead process."""

    def give_back(self, claim: int, *, inside: list[int]) -> None:
        """Give a claim back; see ``give_back_each``."""
        self.give_back_each([claim], inside=inside)

    @abstractmethod
    def give_back_each(self, claims: Sequence[int], *, inside: list[int]) -> None:
        """Give claims back, and note that the loads around them wait for nobody."""
