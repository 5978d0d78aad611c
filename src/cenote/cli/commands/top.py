"""``cenote top``: all caches on a terminal, live."""

from __future__ import annotations

import sys

from cenote.cli.client import CenoteClient
from cenote.cli.extras import needs
from cenote.cli.failures import ServerUnreachable, WrongUsage
from cenote.cli.options import DEFAULT_SERVER, AsJson, Server, Timeout, Token
from cenote.cli.session import conversation

__all__ = ["top"]

_PATIENCE = 120.0


def top(
    server: Server = DEFAULT_SERVER,
    token: Token = None,
    timeout: Timeout = 10,
    as_json: AsJson = False,
) -> None:
    """Show all caches live, with a page for each, and clear them.

    --json prints the overview once, and nothing is shown live.
    """
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        if as_json:
            output.document(client.overview())
            return
        with needs("cenote top", "top"):
            from cenote.cli.top.app import TopApp  # noqa: PLC0415
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise WrongUsage("cenote top needs a terminal; 'cenote stats' and --json do not")
        _probe(client)
        with CenoteClient(server, token or None, max(timeout, _PATIENCE)) as patient:
            app = TopApp(client, patient)
            app.run()
    if app.return_code:
        raise SystemExit(app.return_code)


def _probe(client: CenoteClient) -> None:
    """Find out whether there is something to look at.

    Raises:
        Failure: Something else answers, or it wants another token.
    """
    try:
        client.overview(limit=1, sparklines=False)
    except ServerUnreachable:
        return  # it may come back, and the screen says that it is away
