"""``cenote clear``: empty one cache, some of its entries, or everything."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Any

import typer

from cenote.cli.client import CenoteClient
from cenote.cli.failures import Refused, WrongUsage
from cenote.cli.options import DEFAULT_SERVER, AsJson, Prefix, Server, Tag, Timeout, Token
from cenote.cli.previewing import preview_report
from cenote.cli.render import clear_report
from cenote.cli.session import conversation
from cenote.cli.waiting import Waiting

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
    preview: Annotated[
        bool,
        typer.Option(
            "--preview", help="Show what would go, what loading it again costs, and the recovery; remove nothing."
        ),
    ] = False,
    prefix: Prefix = None,
    tag: Tag = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Kept in the audit trail.")] = None,
    refill_rate: Annotated[
        float | None,
        typer.Option(
            "--refill-rate",
            metavar="N",
            min=0.001,
            max=1_000_000,
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
        if refill_rate is not None:
            fields["refill"] = {"ratePerSecond": refill_rate}
        if prefix:
            fields["prefix"] = prefix
        if tag:
            fields["tags"] = tag
        if preview:
            target: dict[str, Any] = {"all": True} if everything else {"serviceName": service}
            with Waiting("looking", quiet=as_json):
                said = client.preview(**target, **fields)
            if as_json:
                output.document(said)
            else:
                output.show(preview_report(said))
            return
        if dry_run:
            fields["dryRun"] = True
        if reason:
            fields["reason"] = reason
        if everything and not (yes or dry_run):
            _ask(f"Clear the global cache and every service's cache at {client.address}?")
        try:
            with Waiting("counting", quiet=as_json) if dry_run else _members(client, fields, quiet=as_json):
                answer = client.clear_all(**fields) if everything else client.clear(service, **fields)
        except Refused as refused:
            raise _with_level(refused) from None
        if as_json:
            output.document(answer)
        else:
            output.show(clear_report(answer, dry_run=dry_run, soft=soft))


def _members(client: CenoteClient, fields: dict[str, Any], *, quiet: bool) -> Waiting:
    """Return a bar of the members that acknowledged; the clear gets a receipt to ask about it by."""
    clear_id = secrets.token_hex(8)
    expected: list[int] = []

    def ask() -> tuple[int, int] | None:
        if not expected:
            expected.append(len(client.overview(limit=1, sparklines=False).get("members") or ()))
        members = client.clear_progress(clear_id).get("members") or ()
        done = sum(bool(member.get("acknowledged") or member.get("lapsed")) for member in members)
        # Members are told of as they are heard of, so those that share the caches are what there is to wait for.
        total = max(expected[0], len(members))
        return (done, total) if total else None

    waiting = Waiting("waiting for members", quiet=quiet, ask=ask)
    if not waiting.quiet:
        fields["clearId"] = clear_id
    return waiting


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
