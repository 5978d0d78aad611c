"""Wiring: from a URL to objects. The only place that knows which log goes with which reach."""

from __future__ import annotations

from urllib.parse import urlsplit

from cenote.errors import ConfigurationError
from cenote.invalidation.log import InvalidationLog
from cenote.invalidation.process import ProcessLog

__all__ = ["connect"]


def connect(url: str) -> tuple[str, InvalidationLog]:
    """Open what a URL names.

    Args:
        url: ``memory://`` for caches in the memory of this process.

    Returns:
        The backend's name, as the status shows it, and the invalidation log.

    Raises:
        ConfigurationError: There is no such backend, or the URL says more than it can mean.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string such as 'memory://', not {url!r}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"url cannot be read: {error}") from None
    if parts.scheme != "memory" or "://" not in url:
        raise ConfigurationError(f"url must be 'memory://'; there is no backend for {parts.scheme or url!r}")
    if url != "memory://":
        raise ConfigurationError("memory:// keeps entries in this process and takes no host, path or query")
    return "memory", ProcessLog()
