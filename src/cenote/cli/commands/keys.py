"""``cenote keys``: the identifiers of the entries, one a line."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cenote.cli.failures import WrongUsage
from cenote.cli.options import DEFAULT_SERVER, AsJson, Limit, Prefix, Server, Timeout, Token
from cenote.cli.session import conversation
from cenote.cli.waiting import Waiting

__all__ = ["keys"]

_PAGE = 500


def keys(
    service: Annotated[str | None, typer.Argument(help="The service; without, the global cache.")] = None,
    named: Annotated[
        str | None, typer.Option("--service", metavar="NAME", help="The service, as 'invalidate' takes it.")
    ] = None,
    global_cache: Annotated[bool, typer.Option("--global", help="The global cache (the default).")] = False,
    prefix: Prefix = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TEXT", help="Only entries with this tag.")] = None,
    limit: Limit = 1000,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
    timeout: Timeout = 10,
    as_json: AsJson = False,
) -> None:
    """List the identifiers of a cache's entries, one a line.

    Control characters are shown as escapes; --json gives the exact text.
    """
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        if (service is not None) + (named is not None) + global_cache > 1:
            raise WrongUsage("say one cache: the name of a SERVICE, or --global")
        service = named if service is None else service
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        # Between two pages only, so that the bar and the lines do not meet.
        waiting = Waiting("listing", quiet=as_json, ask=lambda: (len(found), limit))
        while len(found) < limit:
            size = min(_PAGE, limit - len(found))
            with waiting:
                page = client.entries(service, prefix=prefix, tag=tag, cursor=cursor, limit=size)
            if not as_json:
                for entry in page["entries"]:
                    output.line(str(entry["key"]))
            found += page["entries"]
            cursor = page.get("cursor")
            if cursor is None:
                break
        if as_json:
            names = [entry["key"] for entry in found]
            output.document({"serviceName": service, "keys": names, "complete": cursor is None})
        elif cursor is not None:
            output.notice(f"(the first {len(found):,}; --limit shows more)")
        elif not found:
            output.notice("(no entries)")
