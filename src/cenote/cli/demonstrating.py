"""What ``cenote demo`` does: the demonstration behind a server of its own."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cenote import CacheManager
from cenote.cli.clears import Clears
from cenote.cli.crew import Crew, Place
from cenote.cli.failures import CannotStart, WrongUsage
from cenote.cli.hosting import HostedServer, listen, stop_signals
from cenote.cli.output import Output
from cenote.cli.private_server import LONGEST_PATH, PrivateServer, find_server
from cenote.control import Settings, create_app
from cenote.demo.live import LiveScreen
from cenote.demo.runner import Demo
from cenote.demo.screen import JsonScreen, PlainScreen, Screen
from cenote.demo.sources import Library
from cenote.errors import ConfigurationError

__all__ = ["run_demo", "run_machines"]

_HOST = "127.0.0.1"
_PLACES = ("/dev/shm", "/var/tmp")  # noqa: S108 - a private directory is made there
_ORPHANED_WITHIN = 0.5

_MODULES_OF_SEVERAL = 120
"""How many modules each of several workers works on: all of them warm up at once."""

_MODULES_OF_MACHINES = 60
"""How many modules each of several machines works on: what each has read is sent to the server too."""


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
        settings = _settings(port)
        server = HostedServer(create_app(caches, settings), listen(_HOST, port))
        library = _library()
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
        settings = _settings(port)
        with listen(_HOST, port) as sock, _shared_directory() as directory:
            modules = len(_library(_MODULES_OF_SEVERAL).names)
            url = f"http://{_HOST}:{sock.getsockname()[1]}"
            screen = _screen(output, url, token=settings.token is not None)
            places = [Place(sock, f"memory://{directory}")] * workers
            crew = Crew(screen, places, modules=modules, orphaned=directory)
            try:
                screen.opening(modules, platform.python_version())
                screen.ended(crew.run(seconds, stopping))
            finally:
                screen.close()


def run_machines(output: Output, *, seconds: float | None, port: int, machines: int) -> None:
    """Run the demonstration on several machines, which are processes with directories of their own here.

    They share a server that is started for this run, and everything is cleared through the first one now and then. The
    run also ends when the process that started this one has.

    Args:
        output: Decides how the run is shown.
        seconds: How long the traffic runs; None: until stopped.
        port: That of the first machine; 0 takes any free one, as the others do.
        machines: How many.

    Raises:
        CannotStart: There is no server program, the port is taken, or there are no sources to work on.
        WrongUsage: A setting cannot be used.
        ModuleNotFoundError: A package that a server needs is not installed.
    """
    for package in ("redis", "msgspec"):
        importlib.import_module(package)
    with stop_signals() as stopping, ExitStack() as stack:
        settings = _settings(port)
        program = find_server()
        socks = [stack.enter_context(listen(_HOST, 0 if number else port)) for number in range(machines)]
        modules = len(_library(_MODULES_OF_MACHINES).names)
        directory = stack.enter_context(_shared_directory(_has_room_for_a_socket))
        server = stack.enter_context(PrivateServer(program, directory))
        urls = [f"http://{_HOST}:{sock.getsockname()[1]}" for sock in socks]
        places = [Place(sock, server.caches(f"machine-{number}")) for number, sock in enumerate(socks, 1)]
        screen = _screen(output, urls[0], token=settings.token is not None, machines=urls, store=server.address)
        crew = Crew(screen, places, modules=modules, held=[server.lifeline])
        stack.enter_context(_ending_with_the_parent(stopping))
        try:
            screen.opening(modules, platform.python_version())
            with Clears(urls, settings.token, screen, crew.post) as clears:
                screen.ended(crew.run(seconds, stopping, clears.begin))
        finally:
            screen.close()


@contextmanager
def _ending_with_the_parent(stopping: threading.Event) -> Iterator[None]:
    """Set ``stopping`` once the process that started this one has ended."""
    parent = os.getppid()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_ORPHANED_WITHIN):
            if os.getppid() != parent:
                stopping.set()

    thread = threading.Thread(target=watch, name="cenote-parent", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _settings(port: int) -> Settings:
    try:
        return Settings.from_env(host=_HOST, port=port)
    except ConfigurationError as error:
        raise WrongUsage(str(error)) from error


def _library(most: int | None = None) -> Library:
    try:
        return Library() if most is None else Library(most=most)
    except ConfigurationError as error:
        raise CannotStart(str(error)) from error


def _has_room_for_a_socket(directory: Path) -> None:
    """Raise ConfigurationError when the path of a socket file in there would be too long."""
    length = len(os.fsencode(directory)) + 20
    if length > LONGEST_PATH:
        raise ConfigurationError(f"{directory}: too long a path for a socket file")


@contextmanager
def _shared_directory(check: Callable[[Path], object] = bool) -> Iterator[Path]:
    """Yield a private directory that processes can share caches in; it is gone afterwards.

    Args:
        check: Raises ConfigurationError where a directory is of no use.

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
            check(directory)
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


def _screen(output: Output, url: str, *, token: bool, machines: Sequence[str] = (), store: str = "") -> Screen:
    if output.as_json:
        return JsonScreen(url, token=token, machines=machines, store=store)
    if output.console.is_terminal:
        return LiveScreen(url, token=token, console=output.console, machines=machines, store=store)
    return PlainScreen(url, token=token, machines=machines, store=store)
