"""The control plane's own state: what every endpoint is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from cenote.errors import UnknownServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from cenote import Cache, CacheManager
    from cenote.control.events import EventStreams
    from cenote.control.live import Journal
    from cenote.control.sessions import Sessions
    from cenote.control.settings import Settings

__all__ = ["ControlPlane"]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The caches under control, with settings and open event streams.

    Attributes:
        caches: The manager.
        settings: The settings.
        streams: The event streams that are open.
        sessions: Tells callers apart.
        journal: What the live stream tells.
    """

    caches: CacheManager
    settings: Settings
    streams: EventStreams
    sessions: Sessions
    journal: Journal

    def cache(self, service: str | None) -> Cache:
        """Return a cache that exists.

        Args:
            service: The service's name; None: the global cache.

        Returns:
            The cache.

        Raises:
            UnknownServiceError: There is none; none was created.
        """
        found = self.caches.find(service)
        if found is None:
            raise UnknownServiceError(str(service), self.caches.services())
        return found

    @property
    def quick(self) -> bool:
        """Whether a look at the caches waits for no other process."""
        return self.caches.level == "process"

    async def run(self, work: Callable[[], Any], *, quick: bool) -> Any:
        """Do work that may wait.

        Args:
            work: What to do.
            quick: Whether it is sure to take microseconds; else it runs in a thread.

        Returns:
            What the work returns.
        """
        if quick:
            return work()
        return await anyio.to_thread.run_sync(work)
