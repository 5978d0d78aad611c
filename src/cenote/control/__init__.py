"""The HTTP control plane: the caches of a process, administered over HTTP."""

from __future__ import annotations

from cenote.control.settings import Settings
from cenote.errors import MissingExtraError

try:
    from cenote.control.app import create_app
    from cenote.control.server import ControlServer, make_server
except ModuleNotFoundError as error:
    if (error.name or "").startswith("cenote"):
        raise
    raise MissingExtraError("The HTTP control plane", "server") from error

__all__ = ["ControlServer", "Settings", "create_app", "make_server"]
