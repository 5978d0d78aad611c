"""What a preview of a clear looks like to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cenote.cli.output import printable
from cenote.cli.render import counted, seconds

__all__ = ["preview_report"]


def preview_report(preview: Mapping[str, Any]) -> RenderableType:
    """Return what a clear would remove and cost, and how the hit rate would come back.

    Args:
        preview: The answer of ``clear/preview``.
    """
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _facts(preview):
        table.add_row(name, Text(printable(value)))
    parts: list[RenderableType] = [Text(printable(str(preview.get("message", "")))), Text(""), table]
    items = preview.get("items") or ()
    if items:
        parts += [Text(""), Text("some of the entries")]
        parts += [Text("  " + printable(str(item)), overflow="fold") for item in items]
    hottest = preview.get("hottest") or ()
    if hottest:
        parts += [Text(""), _hottest(hottest)]
    return Group(*parts)


_WAIT = {"first": "one of each entry; others are served its stale copy", "none": "none; stale copies are served"}
"""Which callers wait, for soft clears."""


def _facts(preview: Mapping[str, Any]) -> list[tuple[str, str]]:
    about = "" if preview.get("entriesExact", True) else "about "
    cost = preview.get("cost") or {}
    prediction = preview.get("prediction") or {}
    members = preview.get("members") or ()
    reach = counted(len(members), "machine", "machines")
    if not members:
        reach = counted(preview.get("processes"), "process", "processes")
    facts = [
        ("entries", about + _number(preview.get("entries"))),
        ("bytes", _number(preview.get("bytes"))),
        ("level", f"{preview.get('level')}, {reach}"),
        ("mode", str(preview.get("mode"))),
        ("loading again", f"{seconds(cost.get('reloadSeconds'))} in {_number(cost.get('reloads'))} loads"),
        ("  within", seconds(cost.get("horizonSeconds"))),
        ("  callers wait", _WAIT.get(str(cost.get("callersWait")), "all")),
        ("loading all again", seconds(cost.get("entrySeconds"))),
    ]
    if not prediction:
        return [*facts, ("recovery", f"not known yet: {preview.get('basis', 'nothing was measured')}")]
    return [
        *facts,
        ("hit rate before", _percent(prediction.get("hitRateBefore"))),
        ("  90 % of it after", _after(prediction.get("secondsTo90"))),
        ("  95 % of it after", _after(prediction.get("secondsTo95"))),
        ("loads at most", f"{_number(prediction.get('peakLoadsPerSecond'))} a second"),
        ("confidence", f"{prediction.get('confidence')}: {prediction.get('basis')}"),
    ]


def _hottest(keys: Any) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("read most often", overflow="fold", ratio=1)
    for heading in ("reads, about", "to load"):
        table.add_column(heading, justify="right", no_wrap=True)
    for key in keys:
        table.add_row(Text(printable(str(key.get("key")))), _number(key.get("reads")), seconds(key.get("loadSeconds")))
    return table


def _after(value: Any) -> str:
    return "not within that time" if value is None else seconds(value)


def _percent(value: Any) -> str:
    return "-" if value is None else f"{value:.1f} %"


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) and value != int(value) else f"{int(value):,}"
