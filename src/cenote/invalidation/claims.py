"""The port of claims: which process loads a key, so that the others wait for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
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

    @abstractmethod
    def take(
        self, cache: str | None, identifier: str, generation: int, *, inside: list[int], bound: float
    ) -> Taken | None:
        """Claim a load.

        Args:
            cache: The cache.
            identifier: The entry's.
            generation: That of the State which the load publishes into; claims of another one do not count.
            inside: The claims of the loads that this one runs inside of: who waits for one of them is not waited for.
            bound: Seconds after which another's claim does not count.

        Returns:
            The claim; None when another process loads.
        """

    @abstractmethod
    def is_busy(self, cache: str | None, identifier: str, generation: int) -> bool:
        """Whether somebody's claim is there; cheap, and it may be that of a dead process."""

    @abstractmethod
    def give_back(self, claim: int, *, inside: list[int]) -> None:
        """Give a claim back, and note that the loads around it wait for nobody."""
