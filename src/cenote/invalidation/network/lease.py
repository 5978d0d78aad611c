"""Leases: for how long a machine may serve its copies without asking, and how long others wait for its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cenote.errors import ConfigurationError

__all__ = ["LEASE_SECONDS", "LONGEST_SECONDS", "SHORTEST_SECONDS", "Lease", "Unverified"]

LEASE_SECONDS: Final = 2.0
"""How long a lease lasts when nobody says otherwise."""

SHORTEST_SECONDS: Final = 0.1
"""The shortest lease that can be asked for."""

LONGEST_SECONDS: Final = 60.0
"""The longest one."""

LONGEST_UNVERIFIED_SECONDS: Final = 3600.0
"""How long copies may be served unverified at most."""

_DRIFT: Final = 0.01
"""How much faster one machine's clock may run than another's, as a fraction."""


@dataclass(frozen=True, slots=True, order=True)
class Lease:
    """The terms of the leases of a namespace; all its members must have the same.

    Attributes:
        seconds: How long a lease lasts.
    """

    seconds: float = LEASE_SECONDS

    def __post_init__(self) -> None:
        """Raise ConfigurationError when it is too short or too long."""
        if not SHORTEST_SECONDS <= self.seconds <= LONGEST_SECONDS:
            raise ConfigurationError(
                f"a lease must last {SHORTEST_SECONDS:g} to {LONGEST_SECONDS:g} seconds, not {self.seconds:g}"
            )

    @property
    def held(self) -> float:
        """For how many seconds after it was asked for its holder relies on it."""
        return self.seconds * (1 - _DRIFT)

    @property
    def outwaited(self) -> float:
        """After how many seconds everybody else may rely on its end."""
        return self.seconds * (1 + _DRIFT)

    @property
    def renewed(self) -> float:
        """After how many seconds it is renewed."""
        return self.seconds / 3


@dataclass(frozen=True, slots=True)
class Unverified:
    """For how long after a lease copies may be served that nobody can verify; all members must have the same.

    Attributes:
        seconds: How long; 0 for not at all.
    """

    seconds: float = 0.0

    def __post_init__(self) -> None:
        """Raise ConfigurationError when it is too long."""
        if self.seconds > LONGEST_UNVERIFIED_SECONDS:
            raise ConfigurationError(
                f"serve_unverified must be 0 to {LONGEST_UNVERIFIED_SECONDS:g} seconds, not {self.seconds:g}"
            )

    @property
    def held(self) -> float:
        """For how many seconds after its lease a member serves them."""
        return self.seconds * (1 - _DRIFT)

    @property
    def outwaited(self) -> float:
        """After how many more seconds everybody else may rely on the end of that."""
        return self.seconds * (1 + _DRIFT)
