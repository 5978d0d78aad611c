"""Wiring: from a URL to objects. The only place that knows which log goes with which reach."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from cenote.errors import ConfigurationError
from cenote.invalidation.log import InvalidationLog
from cenote.invalidation.process import ProcessLog

__all__ = ["connect"]


def connect(url: str, namespace: str) -> tuple[str, InvalidationLog]:
    """Open what a URL names.

    Args:
        url: ``memory://`` for caches in the memory of this process, ``memory:///dir`` for caches in the memory of each
            process of a machine with one log for all, in that directory.
        namespace: Keeps the caches of one application apart from those of others in the same directory.

    Returns:
        The backend's name, as the status shows it, and the invalidation log.

    Raises:
        ConfigurationError: There is no such backend, the URL says more than it can mean, or the directory cannot be
            used.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string such as 'memory://', not {url!r}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigurationError(f"url cannot be read: {error}") from None
    if parts.scheme != "memory" or "://" not in url:
        raise ConfigurationError(
            f"url must be 'memory://' or 'memory:///directory'; there is no backend for {parts.scheme or url!r}"
        )
    if url == "memory://":
        return "memory", ProcessLog()
    return "memory", _machine_log(_directory(url, parts), namespace)


def _directory(url: str, parts: SplitResult) -> Path:
    """Return the absolute path that a URL names."""
    if parts.netloc or parts.query or parts.fragment or parts.path in ("", "/"):
        raise ConfigurationError(
            f"{parts.scheme}:// takes nothing or the absolute path of a directory, as in {parts.scheme}:///run/shop, "
            f"and no host, query or fragment; not {url!r}"
        )
    path = unquote(parts.path)
    if "\0" in path:
        raise ConfigurationError(f"url names no directory: {url!r}")
    return Path(path)


def _machine_log(directory: Path, namespace: str) -> InvalidationLog:
    try:
        from cenote.invalidation.machine import MachineLog, prepare_directory  # noqa: PLC0415  # not on every system
    except ImportError as error:
        raise ConfigurationError(
            f"this system has no shared memory and locks that processes can use: {error}"
        ) from error
    return MachineLog(prepare_directory(directory) / f"{namespace}.cenote")
