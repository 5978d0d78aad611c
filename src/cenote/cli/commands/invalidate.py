"""``cenote invalidate``: remove one entry."""

from __future__ import annotations

from typing import Annotated

import typer

from cenote.cli.failures import NotFound
from cenote.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from cenote.cli.session import conversation
from cenote.cli.waiting import Waiting

__all__ = ["invalidate"]


def invalidate(
    key: Annotated[str, typer.Argument(help="The identifier of the entry, as 'cenote keys' lists it.")],
    service: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="Its service; without, the global cache.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
    timeout: Timeout = 10,
    as_json: AsJson = False,
) -> None:
    """Remove one entry. That it was not there is no error: it is gone either way."""
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        with Waiting("invalidating", quiet=as_json):
            answer = client.invalidate(key, service)
        if not answer.get("success", True):
            raise NotFound(f"No cache for service: {service}", answer)
        if as_json:
            output.document(answer)
        elif answer["found"]:
            output.line(f"Invalidated {key}")
        else:
            where = "the global cache" if service is None else f"the cache for service {service}"
            output.line(f"Not in {where}: {key}")
