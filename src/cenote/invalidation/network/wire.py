"""The wire: commands as the protocol has them, and answers that are read together."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

__all__ = ["Started", "greet", "packed", "refuse_late", "values_beside"]


class Started(NamedTuple):
    """A request that was sent.

    Attributes:
        pool: The pool.
        idle: Its idle connections as they were.
        connection: The one that it was sent on.
        at: When, in monotonic seconds.
    """

    pool: Any
    idle: list[Any]
    connection: Any
    at: float


def refuse_late(connection: Any, until: float) -> None:
    """Raise redis-py's TimeoutError where nothing was answered in time: meanwhile others may have been waited for."""
    if time.monotonic() > until and not connection.can_read():
        raise redis.exceptions.TimeoutError("it does not answer in time")


def packed(parts: Sequence[bytes]) -> bytes:
    """Return a command as the protocol has it."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def values_beside(connection: Any) -> tuple[list[bytes | None], bytes | None]:
    """Read the answers to both commands of ``fetch``."""
    values = connection.read_response()
    incarnation, identity = connection.read_response()
    made_here = identity is not None and identity.startswith(connection.run_id)
    return values, incarnation if made_here else None


def greet(connection: Any) -> None:
    """Do what a new connection needs, and ask which process it leads to."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    found = re.search(rb"run_id:([0-9a-f]+)", connection.read_response())
    connection.run_id = found[1] if found is not None else b"?"
