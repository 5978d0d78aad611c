"""``cenote stats``: hits, misses and time saved."""

from __future__ import annotations

from typing import Annotated

import typer

from cenote.cli.failures import NotFound
from cenote.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from cenote.cli.render import stats_of_one, stats_table
from cenote.cli.session import conversation
from cenote.cli.waiting import Waiting

__all__ = ["stats"]


def stats(
    service: Annotated[str | None, typer.Argument(help="One service only, with all its figures.")] = None,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
    timeout: Timeout = 10,
    as_json: AsJson = False,
) -> None:
    """Show hits, misses, hit rate and time saved, of all caches or of one service's."""
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        with Waiting("asking for figures", quiet=as_json):
            answer = client.stats(service)
        if service is not None and not answer["found"]:
            raise NotFound(f"No cache for service: {service}", answer)
        if as_json:
            output.document(answer)
        elif service is None:
            output.show(stats_table(answer))
        else:
            output.show(stats_of_one(service, answer.get("statistics") or {}))
