"""Encryption: whether what a URL says of TLS can be used, before any connection needs it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cenote.errors import ConfigurationError

__all__ = ["check_encryption"]


def check_encryption(options: Mapping[str, Any]) -> None:
    """Try the files and the names that redis-py is given for TLS: with a wrong one no server would ever be in reach.

    Args:
        options: What the query of the URL says to redis-py.

    Raises:
        ConfigurationError: One cannot be used.
    """
    context = ssl.create_default_context()
    chain = [options.get(name) for name in ("ssl_certfile", "ssl_keyfile")]
    trusted = [options.get(name) for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data")]
    lowest, ciphers = options.get("ssl_min_version"), options.get("ssl_ciphers")
    # Without a password OpenSSL would ask whoever sits at the terminal.
    password = options.get("ssl_password") or ""
    if any(chain):
        with_chain = "ssl_certfile, ssl_keyfile and ssl_password"
        _try(with_chain, lambda: context.load_cert_chain(chain[0] or "", chain[1], password))
    if any(trusted):
        _try("ssl_ca_certs, ssl_ca_path and ssl_ca_data", lambda: context.load_verify_locations(*trusted))
    if trusted[1]:
        _try("ssl_ca_path", lambda: list(Path(trusted[1] or "").iterdir()))
    if ciphers:
        _try("ssl_ciphers", lambda: context.set_ciphers(ciphers))
    if lowest is not None:
        _try("ssl_min_version", lambda: setattr(context, "minimum_version", lowest))


def _try(what: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"the server's URL cannot be used: look at {what}: {error}") from None
