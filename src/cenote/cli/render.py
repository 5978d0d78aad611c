"""What answers look like to a person: plain words and narrow tables that fit 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cenote.cli.output import printable

__all__ = ["clear_report", "counted", "event_line", "seconds", "stats_of_one", "stats_table", "status_report"]

_LEGEND = {
    "currentSize": "entries",
    "maxSize": "at most",
    "hits": "hits",
    "misses": "misses",
    "hitRate": "hit rate",
    "evictions": "evictions",
    "expirations": "expirations",
    "invalidations": "invalidations",
    "loads": "loads",
    "loadFailures": "failed loads",
    "coalesced": "shared loads",
    "staleServed": "stale served",
    "bytes": "bytes",
    "meanLoadMs": "mean load",
    "savedSeconds": "time saved",
    "efficiency": "efficiency",
}


def status_report(status: Mapping[str, Any], address: str) -> RenderableType:
    """Return the state of a server in a few lines."""
    table = _pairs()
    table.add_row("server", printable(address))
    table.add_row("caching", "on" if status.get("enabled") else "OFF")
    table.add_row("backend", printable(str(status.get("backend"))))
    if status.get("level") is not None:
        table.add_row("level", printable(str(status["level"])))
    table.add_row("services", _number(status.get("serviceCacheCount")))
    table.add_row("entries", _number(status.get("totalEntries")))
    table.add_row("  in the global cache", _number(status.get("globalCacheSize")))
    processes = status.get("processes")
    if not processes:
        return table
    table.add_row("processes", _number(len(processes)))
    return Group(table, Text(""), _processes_table(processes))


def _processes_table(processes: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("since (UTC)", no_wrap=True)
    table.add_column("entries", justify="right", no_wrap=True)
    for process in processes:
        since = str(process.get("since", ""))[:19].replace("T", " ")
        table.add_row(printable(str(process.get("pid"))), printable(since), _number(process.get("entries")))
    return table


def stats_table(stats: Mapping[str, Any]) -> RenderableType:
    """Return one line of statistics a cache."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("cache", overflow="fold", ratio=1)
    for heading in ("entries", "hits", "misses", "hit rate", "saved"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows: list[tuple[str, Mapping[str, Any]]] = [("(global)", stats.get("globalCache") or {})]
    rows += sorted((stats.get("serviceCaches") or {}).items())
    for name, cache in rows:
        table.add_row(
            printable(name),
            _number(cache.get("currentSize")),
            _number(cache.get("hits")),
            _number(cache.get("misses")),
            _percent(cache.get("hitRate")),
            seconds(cache.get("savedSeconds")),
        )
    totals = stats.get("totals") or {}
    total = Text(
        f"total: {_number(totals.get('totalEntries'))} entries, {_number(totals.get('totalHits'))} hits, "
        f"{_number(totals.get('totalMisses'))} misses"
    )
    return Group(table, Text(""), total)


def stats_of_one(name: str, cache: Mapping[str, Any]) -> RenderableType:
    """Return all statistics of one cache, one a line."""
    table = _pairs()
    table.add_row("cache", printable(name))
    for field, meaning in _LEGEND.items():
        if field in cache:
            table.add_row(meaning, _figure(field, cache[field]))
    return table


def clear_report(answer: Mapping[str, Any], *, dry_run: bool, soft: bool = False) -> RenderableType:
    """Return what a clear did, or would do."""
    lines = [Text(printable(str(answer.get("message", ""))))]
    count = answer.get("entriesCleared")
    if count is not None:
        done = ("would turn stale" if soft else "would go") if dry_run else "marked stale" if soft else "gone"
        level = answer.get("level")
        receipt = answer.get("clearId")
        more = "" if level is None else f" · level {level}"
        more += "" if dry_run else _acknowledged(answer)
        more += "" if receipt is None or dry_run else f" · receipt {receipt}"
        noun = "entry" if count == 1 else "entries"
        about = "" if answer.get("countExact", True) is not False else "at least " if dry_run else "about "
        lines.append(Text(printable(f"{about}{_number(count)} {noun} {done}{more}")))
    items = answer.get("clearedItems") or []
    lines += [Text("  " + printable(str(item)), overflow="fold") for item in items]
    left = (count or 0) - len(items)
    if items and left > 0:
        lines.append(Text(f"  … and {_number(left)} more"))
    return Group(*lines)


def _acknowledged(answer: Mapping[str, Any]) -> str:
    """Return how many processes or machines acknowledged a clear, where there may be several."""
    members = answer.get("members") or []
    if answer.get("level") in {None, "none", "process"} or not members:
        return ""
    done = sum(bool(member.get("acknowledged")) for member in members)
    one, many = ("process", "processes") if members[0].get("name") is None else ("machine", "machines")
    noun = one if len(members) == 1 else many
    return f", {_number(done)} of {_number(len(members))} {noun}"


def event_line(event: Mapping[str, Any]) -> str:
    """Return an event of the audit trail on one line."""
    when = str(event.get("timestamp", ""))[:19].replace("T", " ")
    where = event.get("serviceName") or event.get("service") or "(global)"
    action = str(event.get("action", "?"))
    if action in {"clear_all", "switch"} and not (event.get("serviceName") or event.get("service")):
        where = "(all)"
    if action == "gap":
        return f"{_number(event.get('missed'))} events were missed"
    parts = [when, action, str(where)]
    if event.get("key"):
        parts.append(str(event["key"]))
    count = event.get("entries", event.get("entriesCleared"))
    if count is not None:
        parts.append(f"{_number(count)} {'entry' if count == 1 else 'entries'}")
    if event.get("mode") == "soft":
        parts.append("soft")
    if event.get("status") not in {None, "success"}:
        parts.append(str(event["status"]).upper())
    if event.get("reason"):
        parts.append(f'"{event["reason"]}"')
    return "  ".join(parts)


def counted(number: Any, one: str, many: str) -> str:
    """Return a number with what it counts."""
    return f"{_number(number)} {one if number == 1 else many}"


def seconds(value: Any) -> str:
    """Return a length of time in two or three figures and its unit."""
    if not isinstance(value, int | float):
        return "-"
    if value >= 7200:
        return f"{value / 3600:,.1f} h"
    if value >= 120:
        return f"{value / 60:,.1f} min"
    if value >= 1 or value == 0:
        return f"{value:.1f} s"
    return f"{value * 1000:.1f} ms"


def _figure(field: str, value: Any) -> str:
    if value is None:
        return "no limit" if field == "maxSize" else "-"
    if field in {"hitRate", "efficiency"}:
        return _percent(value)
    if field == "savedSeconds":
        return seconds(value)
    if field == "meanLoadMs":
        return f"{value:,.2f} ms" if isinstance(value, int | float) else "-"
    return _number(value)


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:,}"


def _percent(value: Any) -> str:
    return f"{value:.1f} %" if isinstance(value, int | float) else "-"


def _pairs() -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
