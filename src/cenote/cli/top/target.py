"""What a clear on the terminal is about."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from cenote.cli.client import CenoteClient
from cenote.cli.top.words import name_of

__all__ = ["Target", "Wish", "new_clear_id"]


def new_clear_id() -> str:
    """Return a receipt of our own choice, to recognise a clear before its answer is here."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Target:
    """One cache, or everything.

    Attributes:
        service: The service; None: the global cache.
        everything: The global cache and every service's.
    """

    service: str | None = None
    everything: bool = False

    @property
    def word(self) -> str:
        """What has to be typed before it is cleared."""
        if self.everything:
            return "everything"
        return "global" if self.service is None else self.service

    def __str__(self) -> str:
        return "everything" if self.everything else name_of(self.service)


@dataclass(frozen=True, slots=True)
class Wish:
    """A clear as somebody wants it.

    Attributes:
        target: What to clear.
        mode: "hard" or "soft".
        prefix: Only identifiers that begin so.
        tags: Only entries with one of these.
        rate: Loads a second that are let through afterwards; None: all.
        reason: For the audit trail.
    """

    target: Target
    mode: str = "hard"
    prefix: str = ""
    tags: tuple[str, ...] = ()
    rate: float | None = None
    reason: str = ""

    def previewed(self) -> dict[str, Any]:
        """Return the fields of its preview."""
        named = {"all": True} if self.target.everything else {"serviceName": self.target.service}
        return {**named, **self._fields()}

    def clear(self, client: CenoteClient, clear_id: str) -> dict[str, Any]:
        """Do it.

        Args:
            client: Whom to ask.
            clear_id: The receipt.

        Raises:
            Failure: It was refused, or there is no answer.
        """
        fields = {**self._fields(), "maxItems": 0, "clearId": clear_id}
        if self.reason:
            fields["reason"] = self.reason
        return client.clear_all(**fields) if self.target.everything else client.clear(self.target.service, **fields)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"mode": self.mode}
        if self.prefix:
            fields["prefix"] = self.prefix
        if self.tags:
            fields["tags"] = list(self.tags)
        if self.rate is not None:
            fields["refill"] = {"ratePerSecond": self.rate}
        return fields
