"""What ``cenote serve`` does: put caches behind HTTP until asked to stop."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import ExitStack

from cenote import CacheManager
from cenote.cli.failures import WrongUsage
from cenote.cli.hosting import HostedServer, listen, stop_signals
from cenote.cli.output import Output
from cenote.control import Settings, create_app
from cenote.errors import ConfigurationError
from cenote.telemetry.logs import configure

__all__ = ["serve_caches"]


def serve_caches(
    output: Output,
    *,
    host: str,
    port: int,
    url: str | None,
    token: str | None,
    application: str | None,
    log_format: str | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        output: Says where the server listens, and when it has stopped.
        host: The address to listen on.
        port: 0 takes any free one.
        url: Where the entries of a cache host live.
        token: What requests must carry, if anything.
        application: ``module:manager``, to serve an application's caches.
        log_format: How logs are written, "text" or "json".

    Raises:
        WrongUsage: An option cannot be used.
        CannotStart: The port cannot be used.
    """
    if application is not None and url is not None:
        raise WrongUsage("--app brings its own caches; --url has no meaning beside it")
    with stop_signals() as stopping, ExitStack() as stack:
        try:
            settings = Settings.from_env(host=host, port=port, token=token or None, log_format=log_format or None)
            # Before the application is imported: it may log, and may set up logging as it likes instead.
            configure(settings.log_format)
            if application is None:
                caches = stack.enter_context(CacheManager(url or "memory://"))
            else:
                caches = _load(application)
        except ConfigurationError as error:
            raise WrongUsage(str(error)) from error
        server = HostedServer(create_app(caches, settings), listen(host, port))
        server.start()
        if output.as_json:
            output.document({"event": "listening", "url": server.url, "pid": os.getpid()})
        else:
            output.line(f"Cenote serves {server.url} (Ctrl-C stops it)")
        server.wait(stopping)
        server.stop()
    if output.as_json:
        output.document({"event": "stopped"})
    else:
        output.line("Cenote has stopped.")


def _load(path: str) -> CacheManager:
    """Return the manager that ``module:name`` names; modules of the current directory are found too."""
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute:
        raise WrongUsage(f"--app {path}: write MODULE:MANAGER, for example shop.caching:caches")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise WrongUsage(f"--app {path}: {error}") from error
    except Exception as error:
        raise WrongUsage(f"--app {path}: importing it failed: {type(error).__name__}: {error}") from error
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            raise WrongUsage(f"--app {path}: {error}") from error
    if not isinstance(found, CacheManager):
        raise WrongUsage(f"--app {path}: that is {type(found).__name__}, not a CacheManager")
    return found
