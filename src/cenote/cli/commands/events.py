"""``cenote events``: who cleared what, and when."""

from __future__ import annotations

from typing import Annotated

import typer

from cenote.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from cenote.cli.render import event_line
from cenote.cli.session import conversation

__all__ = ["events"]


def events(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing events as they happen, until Ctrl-C.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, metavar="N", help="How many past events to show.")
    ] = 20,
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
            for event in client.follow_events(lambda: output.notice(f"(following {client.address})")):
                if as_json:
                    output.document(event)
                else:
                    output.line(event_line(event))
            return
        answer = client.events(limit)
        if as_json:
            output.document(answer)
            return
        for event in answer["events"]:
            output.line(event_line(event))
        if not answer["events"]:
            output.notice("(no events)")
