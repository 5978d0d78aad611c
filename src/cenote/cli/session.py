"""One conversation of a command with a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cenote.cli.client import CenoteClient
from cenote.cli.output import Output

__all__ = ["conversation"]


@contextmanager
def conversation(
    server: str, token: str | None, timeout: float, *, as_json: bool
) -> Iterator[tuple[CenoteClient, Output]]:
    """Yield a client and an output; failures end the command with a sentence and an exit code."""
    output = Output(as_json=as_json)
    with output.reporting(), CenoteClient(server, token or None, timeout) as client:
        yield client, output
