"""``cenote clear``: empty one cache, some of its entries, or everything."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cenote.cli.failures import Refused, WrongUsage
from cenote.cli.options import DEFAULT_SERVER, AsJson, Prefix, Server, Tag, Timeout, Token
from cenote.cli.render import clear_report
from cenote.cli.session import conversation

__all__ = ["clear"]

_SHOWN = 10


def clear(
    service: Annotated[str | None, typer.Argument(help="The service whose cache to clear.")] = None,
    global_cache: Annotated[bool, typer.Option("--global", help="Clear the global cache.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Clear the global cache and every service's, in one step.")
    ] = False,
    soft: Annotated[
        bool,
        typer.Option("--soft", help="Only mark entries stale, so that each is reloaded when next asked for."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; remove nothing.")] = False,
    prefix: Prefix = None,
    tag: Tag = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Kept in the audit trail.")] = None,
    refill_rate: Annotated[
        float | None,
        typer.Option(
            "--refill-rate",
            metavar="N",
            min=0.001,
            help="Let N loads a second through behind the clear, those of the hottest keys first.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Clear everything without asking.")] = False,
    server: Server = DEFAULT_SERVER,
    token: Token = None,
    timeout: Timeout = 10,
    as_json: AsJson = False,
) -> None:
    """Clear a cache. When this command succeeds, nothing older can be served.

    Name a service, or choose --global or --all: there is no default.
    """
    with conversation(server, token, timeout, as_json=as_json) as (client, output):
        _check_target(service, global_cache=global_cache, everything=everything, filtered=bool(prefix or tag))
        fields: dict[str, Any] = {"maxItems": 100 if as_json else _SHOWN}
        if soft:
            fields["mode"] = "soft"
        if dry_run:
            fields["dryRun"] = True
        if prefix:
            fields["prefix"] = prefix
        if tag:
            fields["tags"] = tag
        if reason:
            fields["reason"] = reason
        if refill_rate is not None:
            fields["refill"] = {"ratePerSecond": refill_rate}
        if everything and not (yes or dry_run):
            _ask(f"Clear the global cache and every service's cache at {client.address}?")
        try:
            answer = client.clear_all(**fields) if everything else client.clear(service, **fields)
        except Refused as refused:
            raise _with_level(refused) from None
        if as_json:
            output.document(answer)
        else:
            output.show(clear_report(answer, dry_run=dry_run, soft=soft))


def _check_target(service: str | None, *, global_cache: bool, everything: bool, filtered: bool) -> None:
    targets = (service is not None) + global_cache + everything
    if targets == 0:
        raise WrongUsage("say what to clear: the name of a SERVICE, --global or --all")
    if targets > 1:
        raise WrongUsage("say one thing to clear: the name of a SERVICE, --global or --all")
    if everything and filtered:
        raise WrongUsage("--all clears whole caches; use --prefix and --tag with a SERVICE or --global")


def _with_level(refused: Refused) -> Refused:
    """Say how far a clear reached that could not keep its promise."""
    level = (refused.answer or {}).get("level")
    if level in {None, "none"}:
        return refused
    return Refused(f"{refused} (level {level} was reached, and no more)", refused.answer)


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise WrongUsage("clearing everything needs --yes when there is nobody to ask")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Refused("Nothing was cleared.")
