"""A worker of the demonstration: one process of several behind a port, with traffic of its own.

It says what it does in JSON on standard output, a document a line. On standard input it is told to go, and to stop;
when that ends without a word its parent is gone.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

from cenote import CacheManager
from cenote.cli.exit_codes import ExitCode
from cenote.cli.failures import CannotStart
from cenote.cli.hosting import HostedServer, stop_signals
from cenote.codecs import MsgpackCodec
from cenote.control import Settings, create_app
from cenote.demo.counting import CountingCodec
from cenote.demo.runner import Demo
from cenote.demo.screen import JsonScreen
from cenote.demo.sources import Library
from cenote.errors import CenoteError

__all__ = ["main"]

GO = "go"
STOP = "stop"


class _Orders:
    """What the parent says."""

    def __init__(self, stopping: threading.Event) -> None:
        self.go = threading.Event()
        self.orphaned = False
        self._stopping = stopping
        threading.Thread(target=self._listen, name="cenote-orders", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            if line.strip() == GO:
                self.go.set()
            elif line.strip() == STOP:
                break
        else:
            self.orphaned = True
        self._stopping.set()


class _WorkerScreen(JsonScreen):
    """Tells the parent what happens, and holds the traffic back until all are ready."""

    def __init__(self, url: str, orders: _Orders, stopping: threading.Event) -> None:
        super().__init__(url, token=False)
        self._orders = orders
        self._stopping = stopping

    def ready(self, key: str) -> None:
        super().ready(key)
        while not self._orders.go.wait(0.02) and not self._stopping.is_set():
            pass


def main() -> None:
    """Run one worker, as the only argument, a JSON document, says."""
    given = json.loads(sys.argv[1])
    with stop_signals() as stopping:
        orders = _Orders(stopping)
        try:
            _work(given, orders, stopping)
        except (CenoteError, CannotStart) as error:
            sys.stderr.write(f"Error: {error}\n")
            sys.exit(ExitCode.CANNOT_START)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            orders.orphaned = True
        finally:
            if orders.orphaned and given["orphaned"] is not None:
                # Nobody else is left who would tidy up.
                shutil.rmtree(given["orphaned"], ignore_errors=True)


def _work(given: dict[str, Any], orders: _Orders, stopping: threading.Event) -> None:
    codec = None if given["caches"].startswith("memory:") else CountingCodec(MsgpackCodec())
    with socket.socket(fileno=given["socket"]) as sock, CacheManager(given["caches"], codec=codec) as caches:
        server = HostedServer(create_app(caches, Settings.from_env(port=given["port"])), sock)
        library = Library(most=given["modules"])
        screen = _WorkerScreen(server.url, orders, stopping)
        demo = Demo(caches, screen, library, pace=given["pace"], worker=given["worker"], codec=codec)
        server.start()
        try:
            with suppress(KeyboardInterrupt):
                screen.ended(demo.run(None, stopping))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
