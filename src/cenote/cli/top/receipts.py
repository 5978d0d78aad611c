"""A clear, in the words of the screen: what it would do, who acknowledged it, what it did, and how caches recover."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from cenote.cli.top.words import compact, counted, fit, per_second, percent, seconds, shown, spark, worth

__all__ = ["foretold", "progress", "receipt", "recovery", "refilling", "together"]

_HOTTEST: Final = 4
_MEMBERS: Final = 8
_BAR: Final = 30
_PROCESS: Final = ("process", "processes")
_SHORTEST: Final = 20.0


def foretold(preview: Mapping[str, Any], width: int) -> str:
    """Return what a clear would do and cost.

    Args:
        preview: The answer of ``clear/preview``.
        width: Columns.
    """
    return "\n".join(_foretold(preview, width))


def _foretold(preview: Mapping[str, Any], width: int) -> Iterator[str]:
    about = "" if preview.get("entriesExact", True) else "≈"
    size = "" if preview.get("bytes") is None else f", {compact(preview['bytes'])} bytes"
    soft = "turn stale" if preview.get("mode") == "soft" else "go"
    members = preview.get("members") or ()
    reach = counted(len(members), "machine", "machines") if members else counted(preview.get("processes"), *_PROCESS)
    level = shown(preview.get("level"))
    yield f"{about}{counted(preview.get('entries'), 'entry', 'entries')}{size} would {soft} · level {level}, {reach}"
    cost = preview.get("cost") or {}
    if cost.get("reloadSeconds") is not None:
        yield (
            f"callers pay {seconds(cost['reloadSeconds'])} of loading again in {compact(cost.get('reloads'))} loads "
            f"within {seconds(cost.get('horizonSeconds'))}{_BORNE.get(str(cost.get('callersWait')), '')}"
        )
    else:
        yield "what loading again will cost is not known yet"
    yield from _predicted(preview.get("prediction"), shown(preview.get("basis", "nothing was measured")), width)
    items = preview.get("items") or ()
    if items:
        yield fit(f"some of them: {', '.join(map(shown, items))}", width - 2).rstrip()
    hottest = preview.get("hottest") or ()
    if hottest:
        yield "read most often:"
        for key in hottest[:_HOTTEST]:
            yield f"  ≈{compact(key.get('reads')):>6}  {shown(key.get('key'))}"


_BORNE: Final = {"first": ", one of each entry", "none": ", behind stale copies"}
"""Who waits for what is loaded again, behind soft clears."""


def _predicted(prediction: Mapping[str, Any] | None, basis: str, width: int) -> Iterator[str]:
    if not prediction:
        yield f"the recovery cannot be predicted yet: {basis}"
        return
    yield (
        f"hit rate {percent(prediction.get('hitRateBefore'))}, back to 90% of that {_when(prediction, 'secondsTo90')}, "
        f"95% {_when(prediction, 'secondsTo95')}"
    )
    yield f"at most {per_second(prediction.get('peakLoadsPerSecond'))} loads ({shown(prediction.get('confidence'))})"
    horizon, room = _horizon(prediction), min(width - 12, 60)
    yield "predicted  " + _curve(prediction.get("curve") or (), horizon, room)
    yield " " * 11 + _axis(horizon, room)


def _when(prediction: Mapping[str, Any], name: str) -> str:
    back = prediction.get(name)
    return "not soon" if back is None else f"after {seconds(back)}"


def progress(clear: Mapping[str, Any], expected: Sequence[Any] = ()) -> str:
    """Return how far a clear has come.

    Args:
        clear: A clear, as the stream and ``clears`` tell it: with the members that were heard of.
        expected: The names of those that will be.
    """
    members: list[Mapping[str, Any]] = list(clear.get("members") or ())
    heard = {member.get("name") for member in members}
    members += [{"name": name} for name in expected if name not in heard]
    done = sum(bool(member.get("acknowledged") or member.get("lapsed")) for member in members)
    filled = _BAR * done // len(members) if members else 0
    lines = [f"{'█' * filled}{'░' * (_BAR - filled)} {done} of {len(members)} acknowledged" if members else "under way"]
    waiting = [member for member in members if not (member.get("acknowledged") or member.get("lapsed"))]
    told = [member for member in members if member not in waiting]
    lines += [f"  {_member(member):<32} {_standing(member)}" for member in [*waiting, *told][:_MEMBERS]]
    if len(members) > _MEMBERS:
        lines.append(f"  … and {len(members) - _MEMBERS} more")
    return "\n".join(lines)


def _member(member: Mapping[str, Any]) -> str:
    name = member.get("name")
    return shown(name) if name is not None else f"process {shown(member.get('pid'))}"


def _standing(member: Mapping[str, Any]) -> str:
    if member.get("lapsed"):
        return "its lease has ended"
    if not member.get("acknowledged"):
        return "waiting"
    after = member.get("afterMs")
    return "acknowledged" if after is None else f"acknowledged after {seconds(after / 1000)}"


def receipt(answer: Mapping[str, Any]) -> str:
    """Return what a clear did.

    Args:
        answer: The answer of ``clear``.
    """
    members = answer.get("members") or ()
    done = sum(bool(member.get("acknowledged")) for member in members)
    about = "" if answer.get("countExact", True) is not False else "about "
    return (
        f"{shown(answer.get('message', ''))}\n"
        f"{about}{counted(answer.get('entriesCleared'), 'entry', 'entries')} · level {shown(answer.get('level'))} · "
        f"{done} of {len(members)} acknowledged · {seconds((answer.get('durationMs') or 0) / 1000)}\n"
        f"receipt {shown(answer.get('clearId'))}"
    )


def recovery(said: Mapping[str, Any], width: int) -> str:
    """Return how the hit rate comes back, beside what was predicted.

    Args:
        said: The answer of ``recovery``.
        width: Columns.
    """
    actual = said.get("actual") or {}
    predicted = said.get("predicted") or {}
    room = min(width - 12, 60)
    curve = actual.get("curve") or ()
    latest = next((point.get("hitRate") for point in reversed(curve) if point.get("hitRate") is not None), None)
    back = [(part, actual.get(f"secondsTo{part}"), predicted.get(f"secondsTo{part}")) for part in (90, 95)]
    state = ", ".join(
        f"back to {part}% after {seconds(took)}" + ("" if expected is None else f" (predicted {seconds(expected)})")
        for part, took, expected in back
        if took is not None
    )
    if not state:
        state = "not watched any longer" if actual.get("over") else "on its way back"
    awaited = [f"{part}% after {seconds(expected)}" for part, took, expected in back if took is None and expected]
    horizon = _horizon(predicted, worth(actual.get("seconds")) or 0.0)
    lines = [
        f"hit rate {percent(latest)}, before the clear {percent(said.get('hitRateBefore'))}: {state}",
        *([f"predicted: {', '.join(awaited)}"] if awaited else []),
        "now        " + _curve(curve, horizon, room),
    ]
    if predicted.get("curve"):
        lines.append("predicted  " + _curve(predicted["curve"], horizon, room))
    lines.append(" " * 11 + _axis(horizon, room))
    cost = said.get("predictedReloadSeconds")
    lines.append(
        f"loaded again: {compact(actual.get('reloads'))} times, {seconds(actual.get('reloadSeconds'))}"
        + ("" if cost is None else f" (predicted {compact(said.get('predictedReloads'))}, {seconds(cost)})")
    )
    if (said.get("clear") or {}).get("mode") == "soft":
        lines.append(f"stale values served meanwhile: {compact(actual.get('staleServed'))}")
    lines += refilling(said.get("refill"))
    return "\n".join(lines)


def refilling(refill: Mapping[str, Any] | None) -> list[str]:
    """Return how a paced refill goes on, on a line; nothing where there is none."""
    if not refill:
        return []
    ended = refill.get("endedBy")
    state = "running" if ended is None else f"over ({shown(ended)})"
    back = f"{compact(refill.get('hottestBack'))} of {compact(refill.get('hottest'))} hottest are back"
    passed = f"{compact(refill.get('admitted'))} loads let through, {compact(refill.get('waiting'))} wait"
    each = f" in each of {counted(refill['caches'], 'cache', 'caches')}" if refill.get("caches") else ""
    return [f"refill at {refill.get('ratePerSecond'):g}/s{each} {state}: {passed}, {back}"]


def together(refills: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the refills behind a clear of everything as one; None where there is none."""
    if not refills:
        return None
    running = [each for each in refills if each.get("state") == "running"]
    names = ("admitted", "waiting", "hottest", "hottestBack")
    sums: dict[str, Any] = {name: sum(worth(each.get(name)) or 0 for each in refills) for name in names}
    told = (running or refills)[0]
    return {**told, **sums, "caches": len(running)}


def _axis(horizon: float, width: int) -> str:
    return "0" + fit(seconds(horizon), width - 1, right=True)


def _horizon(prediction: Mapping[str, Any], watched: float = 0.0) -> float:
    """Return for how many seconds to draw: until it is well over, and what was watched at least."""
    curve = prediction.get("curve") or ()
    end = worth(curve[-1].get("seconds")) if curve else None
    over = worth(prediction.get("secondsTo95"))
    return max(watched, min(1.5 * over, end or over) if over is not None else end or 0.0, _SHORTEST)


def _curve(points: Sequence[Mapping[str, Any]], horizon: float, width: int) -> str:
    """Draw hit rates over time, so that two curves with other steps can be compared; a point is the end of its step."""
    values: list[Any] = []
    place = 0
    for column in range(width):
        middle = (column + 0.5) * horizon / width
        while place < len(points) and (worth(points[place].get("seconds")) or 0.0) < middle:
            place += 1
        values.append(points[place].get("hitRate") if place < len(points) else None)
    return spark(values, width, 100)
