"""The options that commands share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["DEFAULT_PORT", "DEFAULT_SERVER", "AsJson", "Limit", "Prefix", "Server", "Tag", "Timeout", "Token"]

DEFAULT_PORT = 8338
DEFAULT_SERVER = f"http://127.0.0.1:{DEFAULT_PORT}"

Server = Annotated[
    str, typer.Option("--server", envvar="CENOTE_SERVER", metavar="URL", help="The Cenote server to talk to.")
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="CENOTE_TOKEN",
        metavar="TEXT",
        help="The server's token. Others can see a command line, so prefer the variable.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.1, max=600, metavar="SECONDS", help="How long to wait for an answer."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")]
Prefix = Annotated[
    str | None, typer.Option("--prefix", metavar="TEXT", help="Only entries whose identifier begins so.")
]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TEXT", help="Only entries with this tag; may be repeated."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many to show at most.")]
