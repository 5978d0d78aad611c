"""A process that does what its parent says: statements to run and expressions to answer, one after the other.

Started as ``python worker.py FD``, where FD is its end of a pair of sockets.
"""

from __future__ import annotations

import faulthandler
import pickle
import sys
import time
from multiprocessing.connection import Connection


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


if __name__ == "__main__":
    faulthandler.enable()
    serve(int(sys.argv[1]))
