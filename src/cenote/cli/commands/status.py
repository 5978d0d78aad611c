"""``cenote status`` says whether the server is well and how full its caches are."""

from __future__ import annotations

from cenote.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from cenote.cli.render import status_report
from cenote.cli.session import conversation
from cenote.cli.waiting import Waiting

__all__ = ["status"]


def status(
    server: Server = DEFAULT_SERVER, token: Token = None, timeout: Timeout = 10, as_json: AsJson = False
) -> None:
    """Show whether caching is on, the backend, and how many entries there are."""
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        with Waiting("asking for the status", quiet=as_json):
            answer = client.status()
        if as_json:
            output.document(answer)
        else:
            output.show(status_report(answer, client.address))
