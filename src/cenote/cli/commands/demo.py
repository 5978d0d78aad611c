"""``cenote demo``: see it work on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cenote.cli.extras import needs
from cenote.cli.options import DEFAULT_PORT, AsJson
from cenote.cli.output import Output

__all__ = ["demo"]


def demo(
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.1, metavar="N", help="End after so many seconds of traffic."),
    ] = None,
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
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            max=32,
            metavar="N",
            help="How many processes share the port and the clears; with --redis how many machines.",
            show_default="1; with --redis 3",
        ),
    ] = None,
    redis: Annotated[
        bool,
        typer.Option("--redis", help="Each process is a machine of its own; they share a private Valkey or Redis."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a server with three busy services, to try clears on.

    They work on the sources of Python's own library. With several workers each process has caches of its own, and a
    clear through whichever answers reaches all. With --redis each is a machine, behind a port of its own, and now and
    then everything is cleared through the first. With --json, each event is a document on a line of its own.
    """
    output = Output(as_json=as_json)
    with output.reporting():
        with needs("cenote demo", "server"):
            # A server's packages take longer to import than most commands take to run.
            from cenote.cli.demonstrating import run_demo, run_machines  # noqa: PLC0415

        if redis:
            with needs("cenote demo --redis", "redis"):
                run_machines(output, seconds=seconds, port=port, machines=workers or 3)
        else:
            run_demo(output, seconds=seconds, port=port, workers=workers or 1)
