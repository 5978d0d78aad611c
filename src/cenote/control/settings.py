"""Settings: how the control plane listens, whom it trusts, and how much it accepts."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Self

from cenote.errors import ConfigurationError

__all__ = ["LOOPBACK_HOSTS", "Settings", "is_loopback"]

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names under which a loopback server is always reachable."""

_PREFIX = "CENOTE_"
_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Tell whether an address or name can only be reached from this machine.

    Args:
        host: An IP address, with or without brackets, or a host name.

    Returns:
        True for ``localhost`` and for every loopback address, IPv4 in IPv6 clothes included.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _is_host(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return _HOST_NAME.fullmatch(value) is not None
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the control plane is served. Each field can be set by an environment variable of its name.

    ``max_body_bytes`` is ``CENOTE_MAX_BODY_BYTES``, and so on; lists are separated by commas.

    Attributes:
        host: The address to bind. Anything but loopback needs a token.
        port: The TCP port, 0 to 65535; 0 lets the system choose.
        token: What callers must send as ``Authorization: Bearer``; None: no token, loopback callers only.
        viewer_token: A second token, for callers who may look but change nothing; needs ``token``.
        session_seconds: Seconds that a browser stays signed in.
        allowed_hosts: Names accepted in the Host header beside the loopback names and ``host``; ``*`` accepts all.
        allowed_origins: Web origins (``https://ops.example``) that may call from a browser beside the own one.
        max_body_bytes: The longest request body, in bytes.
        max_streams: The number of event streams that may be open at once.
        heartbeat_seconds: Seconds of silence after which an event stream sends a comment.
        stream_seconds: Seconds after which an event stream ends; clients reconnect and miss nothing.
        log_format: How ``cenote serve`` writes its logs: "text" or "json".
    """

    host: str = "127.0.0.1"
    port: int = 8338
    token: str | None = field(default=None, repr=False)
    viewer_token: str | None = field(default=None, repr=False)
    session_seconds: float = 43200.0
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: int = 1_048_576
    max_streams: int = 32
    heartbeat_seconds: float = 15.0
    stream_seconds: float = 3600.0
    log_format: str = "text"

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the setting.

        Raises:
            ConfigurationError: A value is out of its range, or the binding is not safe.
        """
        if not isinstance(self.host, str) or not _is_host(self.host.strip("[]")):
            raise _refused("host", self.host, "must be an IP address or a host name")
        _whole("port", self.port, 0, 65535)
        _whole("max_body_bytes", self.max_body_bytes, 1, 1 << 30)
        _whole("max_streams", self.max_streams, 0, 10_000)
        _seconds("heartbeat_seconds", self.heartbeat_seconds)
        _seconds("stream_seconds", self.stream_seconds)
        if self.log_format not in ("text", "json"):
            raise _refused("log_format", self.log_format, "must be text or json")
        _seconds("session_seconds", self.session_seconds)
        for name in ("token", "viewer_token"):
            token = getattr(self, name)
            if token is not None and not _TOKEN.fullmatch(token):
                # The value is a secret, so the message does not repeat it.
                raise ConfigurationError(f"{_PREFIX}{name.upper()} must be printable ASCII characters without spaces")
        if self.viewer_token is not None:
            if self.token is None:
                raise ConfigurationError(f"{_PREFIX}VIEWER_TOKEN needs {_PREFIX}TOKEN: without it anybody may clear")
            if self.viewer_token == self.token:
                raise ConfigurationError(f"{_PREFIX}VIEWER_TOKEN must be another one than {_PREFIX}TOKEN")
        for name in self.allowed_hosts:
            if name != "*" and not _is_host(name.strip("[]")):
                raise _refused("allowed_hosts", name, "must hold host names without scheme or port, or *")
        for origin in self.allowed_origins:
            if not _ORIGIN.fullmatch(origin):
                raise _refused("allowed_origins", origin, "must hold origins such as https://ops.example:8443")
        if self.token is None and not is_loopback(self.host):
            raise ConfigurationError(
                f"refusing to serve on {self.host} without a token: set {_PREFIX}TOKEN, "
                f"or bind {_PREFIX}HOST to 127.0.0.1"
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Make settings from environment variables.

        Args:
            environ: Where to look; None: the process's environment. Empty values count as absent.
            **overrides: Fields that beat the environment; None means not given.

        Returns:
            The settings.

        Raises:
            ConfigurationError: A value cannot be used; the message names the variable.
        """
        source = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for known in fields(cls):
            text = source.get(_PREFIX + known.name.upper(), "").strip()
            if text:
                values[known.name] = _PARSERS.get(known.name, _text)(known.name, text)
        unknown = overrides.keys() - {known.name for known in fields(cls)}
        if unknown:
            raise ConfigurationError(f"there is no setting called {', '.join(sorted(unknown))}")
        values.update((name, value) for name, value in overrides.items() if value is not None)
        return cls(**values)


def _refused(name: str, value: object, rule: str) -> ConfigurationError:
    return ConfigurationError(f"{_PREFIX}{name.upper()} {rule}, not {str(value)[:100]!r}")


def _whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _refused(name, value, f"must be a whole number from {low} to {high}")


def _seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 86_400:
        raise _refused(name, value, "must be a number of seconds, above 0 and at most 86400")


def _text(_name: str, text: str) -> str:
    return text


def _int(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _refused(name, text, "must be a whole number") from None


def _float(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _refused(name, text, "must be a number of seconds") from None


def _list(_name: str, text: str) -> tuple[str, ...]:
    return tuple(part for part in (piece.strip() for piece in text.split(",")) if part)


_PARSERS: dict[str, Callable[[str, str], object]] = {
    "port": _int,
    "max_body_bytes": _int,
    "max_streams": _int,
    "heartbeat_seconds": _float,
    "session_seconds": _float,
    "stream_seconds": _float,
    "allowed_hosts": _list,
    "allowed_origins": _list,
}
