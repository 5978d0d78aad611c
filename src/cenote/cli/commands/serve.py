"""``cenote serve``: the HTTP control plane of a cache host, or of an application's caches."""

from __future__ import annotations

from typing import Annotated

import typer

from cenote.cli.extras import needs
from cenote.cli.options import DEFAULT_PORT, AsJson
from cenote.cli.output import Output

__all__ = ["serve"]


def serve(
    host: Annotated[
        str, typer.Option("--host", envvar="CENOTE_HOST", metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            envvar="CENOTE_PORT",
            min=0,
            max=65535,
            metavar="N",
            help="The port; 0 takes any free one.",
        ),
    ] = DEFAULT_PORT,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where entries live.  [default: memory://]")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="CENOTE_TOKEN",
            metavar="TEXT",
            help="The token to ask for. Others can see a command line, so prefer the variable.",
        ),
    ] = None,
    application: Annotated[
        str | None,
        typer.Option("--app", metavar="MODULE:MANAGER", help="Serve the CacheManager of this Python module."),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(
            "--log-format",
            envvar="CENOTE_LOG_FORMAT",
            metavar="FORMAT",
            help="How to write logs to standard error: text or json.  [default: text]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve the HTTP control plane until SIGTERM or Ctrl-C.

    Without --app it is a cache host of its own, filled with PUT /api/system/cache/entries/{key}.
    """
    output = Output(as_json=as_json)
    with output.reporting():
        with needs("cenote serve", "server"):
            # A server's packages take longer to import than most commands take to run.
            from cenote.cli.serving import serve_caches  # noqa: PLC0415

        serve_caches(output, host=host, port=port, url=url, token=token, application=application, log_format=log_format)
