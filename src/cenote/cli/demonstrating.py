"""What ``cenote demo`` does: the demonstration behind a server of its own."""

from __future__ import annotations

import platform

from cenote import CacheManager
from cenote.cli.failures import CannotStart, WrongUsage
from cenote.cli.hosting import HostedServer, listen, stop_signals
from cenote.cli.output import Output
from cenote.control import Settings, create_app
from cenote.demo.live import LiveScreen
from cenote.demo.runner import Demo
from cenote.demo.screen import JsonScreen, PlainScreen, Screen
from cenote.demo.sources import Library
from cenote.errors import ConfigurationError

__all__ = ["run_demo"]

_HOST = "127.0.0.1"


def run_demo(output: Output, *, seconds: float | None, port: int) -> None:
    """Run the demonstration until its time is over, or SIGINT or SIGTERM comes.

    Args:
        output: Decides how the run is shown.
        seconds: How long the traffic runs; None: until stopped.
        port: 0 takes any free one.

    Raises:
        CannotStart: The port is taken, or there are no sources to work on.
        WrongUsage: A setting cannot be used.
    """
    with stop_signals() as stopping, CacheManager() as caches:
        try:
            settings = Settings.from_env(host=_HOST, port=port)
        except ConfigurationError as error:
            raise WrongUsage(str(error)) from error
        server = HostedServer(create_app(caches, settings), listen(_HOST, port))
        try:
            library = Library()
        except ConfigurationError as error:
            raise CannotStart(str(error)) from error
        screen = _screen(output, server.url, token=settings.token is not None)
        demo = Demo(caches, screen, library)
        server.start()
        try:
            screen.opening(len(library.names), platform.python_version())
            screen.ended(demo.run(seconds, stopping))
        finally:
            screen.close()
            server.stop()


def _screen(output: Output, url: str, *, token: bool) -> Screen:
    if output.as_json:
        return JsonScreen(url, token=token)
    if output.console.is_terminal:
        return LiveScreen(url, token=token, console=output.console)
    return PlainScreen(url, token=token)
