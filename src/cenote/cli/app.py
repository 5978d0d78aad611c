"""The table of commands."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from cenote.cli.commands.clear import clear
from cenote.cli.commands.demo import demo
from cenote.cli.commands.events import events
from cenote.cli.commands.invalidate import invalidate
from cenote.cli.commands.keys import keys
from cenote.cli.commands.serve import serve
from cenote.cli.commands.stats import stats
from cenote.cli.commands.status import status
from cenote.cli.commands.top import top
from cenote.cli.exit_codes import EPILOG

__all__ = ["app", "run"]

app = typer.Typer(
    name="cenote",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"cenote {version('cenote')}")
    except PackageNotFoundError:
        typer.echo("cenote (not installed as a package)")
    raise typer.Exit


@app.callback(epilog=EPILOG)
def _cenote(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop."),
    ] = False,
) -> None:
    """Cenote: caches whose clear is real, from the command line.

    'serve' and 'demo' start a server; all others talk to one, at --server or CENOTE_SERVER.
    """


for _command in (serve, demo, status, top, stats, clear, invalidate, keys, events):
    app.command(epilog=EPILOG)(_command)


def run() -> None:
    """Run the command that the arguments name, and leave with its exit code."""
    app(prog_name="cenote")
