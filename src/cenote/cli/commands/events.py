"""``cenote events``: who cleared what, and when."""

from __future__ import annotations

from typing import Annotated

import typer

from cenote.cli.failures import ServerUnreachable
from cenote.cli.options import DEFAULT_SERVER, AsJson, Limit, Server, Timeout, Token
from cenote.cli.render import event_line
from cenote.cli.session import conversation

__all__ = ["events"]


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing events as they happen, until Ctrl-C.")
    ] = False,
    limit: Limit = 20,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
    timeout: Timeout = 10,
    as_json: AsJson = False,
) -> None:
    """Show the audit trail: clears and invalidations, the latest last.

    With --json --follow, each event is a JSON document on a line of its own.
    """
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        if follow:
            for event in client.follow_events():
                if as_json:
                    output.document(event)
                else:
                    output.line(event_line(event))
            raise ServerUnreachable(f"The server at {client.address} ended the stream.")
        answer = client.events(limit)
        if as_json:
            output.document(answer)
            return
        for event in answer["events"]:
            output.line(event_line(event))
        if not answer["events"]:
            output.notice("(no events)")
