"""One cache, in the words of the screen: its figures, its last minutes, its hottest keys, its options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cenote.cli.top.receipts import refilling
from cenote.cli.top.words import clock, compact, per_second, percent, seconds, shown, spark

__all__ = ["explanation", "portrait"]

_CURVES: Final = (
    ("hit rate", "hitRate", 100.0, percent),
    ("reads/s", "readsPerSecond", None, compact),
    ("loads/s", "loadsPerSecond", None, compact),
    ("entries", "entries", None, compact),
    ("load p95", "loadP95Ms", None, lambda value: "-" if value is None else seconds(value / 1000)),
)
_LABEL: Final = 10
_LATEST: Final = 8


def portrait(detail: Mapping[str, Any], history: Mapping[str, Any], width: int) -> str:
    """Return all that is known of a cache.

    Args:
        detail: The answer of ``detail``.
        history: The answer of ``history``.
        width: Columns.
    """
    return "\n".join(_lines(detail, history, width))


def _lines(detail: Mapping[str, Any], history: Mapping[str, Any], width: int) -> Iterator[str]:
    yield from _figures(detail)
    yield from refilling(detail.get("refill"))
    yield ""
    span = "10 minutes" if history.get("range") == "10m" else "24 hours"
    yield f"The last {span}, and now"
    series = history.get("series") or {}
    room = max(width - _LABEL - _LATEST - 2, 10)
    for title, field, top, word in _CURVES:
        values = series.get(field) or ()
        latest = next((value for value in reversed(values) if value is not None), None)
        yield f"{title:<{_LABEL}}{spark(values, min(room, 60), top)} {word(latest):>{_LATEST}}"
    yield from _hottest(detail.get("topKeys") or ())
    cleared = detail.get("lastClear")
    if cleared:
        yield ""
        who = f" by {shown(cleared['actor'])}" if cleared.get("actor") else ""
        why = f": {shown(cleared['reason'])}" if cleared.get("reason") else ""
        yield f"Last clear {clock(cleared.get('timestamp'))} UTC, {compact(cleared.get('entries'))} entries{who}{why}"
    functions = detail.get("functions") or ()
    if functions:
        yield ""
        yield "Functions: " + ", ".join(map(shown, functions))
    yield ""
    yield "Options"
    for name, value in sorted((detail.get("options") or {}).items()):
        if value is not None:
            yield f"  {shown(name):<24} {shown(value)}"


def _figures(detail: Mapping[str, Any]) -> Iterator[str]:
    recent = detail.get("recent") or {}
    times = detail.get("loadMs") or {}
    load = "/".join("-" if times.get(part) is None else seconds(times[part] / 1000) for part in ("p50", "p95", "p99"))
    most = detail.get("maxSize")
    pairs = [
        ("hit rate now", percent(recent.get("hitRate"))),
        ("hit rate ever", percent(detail.get("hitRate"))),
        ("reads", per_second(recent.get("readsPerSecond"))),
        ("loads", per_second(recent.get("loadsPerSecond"))),
        ("entries", f"{compact(detail.get('currentSize'))} of {'no limit' if most is None else compact(most)}"),
        ("bytes", compact(detail.get("bytes"))),
        ("time saved", seconds(detail.get("savedSeconds"))),
        ("efficiency", percent(detail.get("efficiency"))),
        ("time loading", seconds(detail.get("loadSeconds"))),
        ("failed loads", compact(detail.get("loadFailures"))),
        ("shared loads", compact(detail.get("coalesced"))),
        ("stale served", compact(detail.get("staleServed"))),
        ("evicted", compact(detail.get("evictions"))),
        ("expired", compact(detail.get("expirations"))),
        ("load p50/95/99", load),
        ("level", shown(detail.get("level", "-"))),
    ]
    for left, right in zip(pairs[::2], pairs[1::2], strict=True):
        yield f"{left[0]:<15}{left[1]:<25}{right[0]:<15}{right[1]}"


def _hottest(keys: Any) -> Iterator[str]:
    if not keys:
        return
    yield ""
    yield "Read most often, by estimate"
    for key in keys:
        load = seconds(key.get("loadSeconds"))
        yield f"  ≈{compact(key.get('reads')):>6}  {load:>8} to load  {shown(key.get('key'))}"


def explanation(said: Mapping[str, Any]) -> str:
    """Return what is known of one key.

    Args:
        said: The answer of ``explain``.
    """
    miss = said.get("lastMiss") or {}
    pairs = [
        ("key", shown(said.get("key"))),
        ("state", f"{shown(said.get('state'))}: {shown(said.get('reason'))}"),
        ("age", _or_dash(said.get("age"))),
        ("stale in", _or_dash(said.get("expiresIn"))),
        ("gone in", _or_dash(said.get("hardEndIn"))),
        ("load", _or_dash(said.get("loadSeconds"))),
        ("reads", f"≈{compact(said.get('reads'))}"),
        ("size", compact(said.get("size"))),
        ("tags", ", ".join(map(shown, said.get("tags") or ())) or "-"),
        ("loading", "yes" if said.get("loading") else "no"),
        ("last miss", shown(miss.get("sentence", "-"))),
    ]
    if said.get("error"):
        pairs.append(("error", shown(said["error"])))
    cleared = said.get("clearedBy")
    if cleared:
        pairs.append(("cleared by", f"{clock(cleared.get('timestamp'))} UTC {shown(cleared.get('message', ''))}"))
    return "\n".join(f"{name:<11}{value}" for name, value in pairs)


def _or_dash(value: Any) -> str:
    return "-" if value is None else seconds(value)
