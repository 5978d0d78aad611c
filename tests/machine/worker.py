"""A process that does what its parent says: statements to run and expressions to answer, one after the other.

Started as ``python worker.py FD``, where FD is its end of a pair of sockets. ``python worker.py --fork FD`` imports the
library and then forks one for each request: imports would be half of what the suite computes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import pickle
import signal
import socket
import sys
import time
from multiprocessing.connection import Connection

IMPORTED = ("cenote", "cenote.stores.lmdb", "cenote.stores.redis", "cenote.testing")


def serve(descriptor):
    """Take orders until the parent hangs up."""
    connection = Connection(descriptor)
    names = {"now": time.monotonic_ns, "connection": connection}
    while True:
        try:
            kind, source = connection.recv()
        except EOFError:
            return
        try:
            answer = eval(source, names) if kind == "ask" else exec(source, names)
            pickle.dumps(answer)
        except BaseException as error:  # noqa: BLE001  # the parent raises it
            answer = error
            connection.send(("raise", answer))
        else:
            connection.send(("return", answer))


def fork(descriptor):
    """Fork a worker for each request, and return its descriptor there; end when the parent hangs up.

    A request is a byte with the descriptors of its connection and of its stderr, then its environment and directory.
    """
    for module in IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # Nobody here waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    requests = socket.socket(fileno=descriptor)
    connection = Connection(os.dup(descriptor))
    while True:
        _, given, *_ = socket.recv_fds(requests, 1, 2)
        if not given:
            sys.exit()
        environment, directory = connection.recv()
        pid = os.fork()
        if not pid:
            break
        connection.send(pid)
        for each in given:
            os.close(each)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.close()
    requests.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    os.dup2(given[1], 2)
    os.close(given[1])
    return given[0]


if __name__ == "__main__":
    own = fork(int(sys.argv[2])) if sys.argv[1] == "--fork" else int(sys.argv[1])
    faulthandler.enable()
    serve(own)
