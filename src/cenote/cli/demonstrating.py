"""What ``cenote demo`` does: the demonstration behind a server of its own."""

from __future__ import annotations

import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cenote import CacheManager
from cenote.cli.crew import Crew
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
_PLACES = ("/dev/shm", "/var/tmp")  # noqa: S108 - a private directory is made there


_MODULES_OF_SEVERAL = 120
"""How many modules each of several workers works on: all of them warm up at once."""


def run_demo(output: Output, *, seconds: float | None, port: int, workers: int = 1) -> None:
    """Run the demonstration until its time is over, or SIGINT or SIGTERM comes.

    Args:
        output: Decides how the run is shown.
        seconds: How long the traffic runs; None: until stopped.
        port: 0 takes any free one.
        workers: How many processes.

    Raises:
        CannotStart: The port is taken, or there are no sources to work on.
        WrongUsage: A setting cannot be used.
    """
    if workers > 1:
        _run_crew(output, seconds=seconds, port=port, workers=workers)
        return
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


def _run_crew(output: Output, *, seconds: float | None, port: int, workers: int) -> None:
    with stop_signals() as stopping:
        try:
            settings = Settings.from_env(host=_HOST, port=port)
        except ConfigurationError as error:
            raise WrongUsage(str(error)) from error
        with listen(_HOST, port) as sock, _shared_directory() as directory:
            try:
                modules = len(Library(most=_MODULES_OF_SEVERAL).names)
            except ConfigurationError as error:
                raise CannotStart(str(error)) from error
            url = f"http://{_HOST}:{sock.getsockname()[1]}"
            screen = _screen(output, url, token=settings.token is not None)
            crew = Crew(screen, sock, directory, workers=workers, modules=modules)
            try:
                screen.opening(modules, platform.python_version())
                screen.ended(crew.run(seconds, stopping))
            finally:
                screen.close()


@contextmanager
def _shared_directory() -> Iterator[Path]:
    """Yield a private directory that processes can share caches in; it is gone afterwards.

    Raises:
        CannotStart: There is no place for one.
    """
    reasons = []
    for parent in dict.fromkeys((tempfile.gettempdir(), *_PLACES)):
        try:
            directory = Path(tempfile.mkdtemp(prefix="cenote-demo-", dir=parent))
        except OSError as error:
            reasons.append(f"{parent}: {error.strerror}")
            continue
        try:
            # The file is made once, and not by all workers at the same time.
            CacheManager(f"memory://{directory}").close()
            yield directory
        except ConfigurationError as error:
            reasons.append(str(error))
        else:
            return
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    raise CannotStart(f"There is no directory that worker processes could share ({'; '.join(reasons)}).")


def _screen(output: Output, url: str, *, token: bool) -> Screen:
    if output.as_json:
        return JsonScreen(url, token=token)
    if output.console.is_terminal:
        return LiveScreen(url, token=token, console=output.console)
    return PlainScreen(url, token=token)
