"""The roster: what several workers say about themselves, added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cenote.demo.meter import CacheTick, Summary, Tick, WorkerTick, percent_of

__all__ = ["Member", "Roster"]


@dataclass(slots=True)
class Member:
    """One worker, as far as is known from what it sent.

    Attributes:
        number: Its number, from 1.
        pid: Its process; None while it has none.
        state: "warming", "ready", "busy" or "ended".
        steps: How many steps of its warming up are done.
        last: The last tick that it sent.
        is_new: Whether that tick is not in any sum yet.
    """

    number: int
    pid: int | None = None
    state: str = "warming"
    steps: int = 0
    last: Mapping[str, Any] = field(default_factory=dict)
    is_new: bool = False

    def part(self) -> WorkerTick:
        """Return its last second."""
        last: Mapping[str, Any] = self.last if self.state == "busy" else {}
        now: Mapping[str, Any] = last if self.is_new else {}
        caches = now.get("caches", {}).values()
        fetched = now.get("fetched", 0)
        return WorkerTick(
            self.number,
            self.pid,
            self.state,
            now.get("hitRate"),
            last.get("entries", 0),
            last.get("requests", 0),
            # A value that came too late to be served was decoded, and is no hit.
            near_hits=max(0, sum(part["hits"] for part in caches) - fetched),
            fetched=fetched,
            loads=sum(part["loads"] for part in caches),
        )


class Roster:
    """All workers of a run, those included that were started in the place of others.

    Args:
        workers: How many there are at a time.
    """

    def __init__(self, workers: int) -> None:
        self.members = [Member(number) for number in range(1, workers + 1)]
        self._requests = 0
        self._saved = 0.0
        self._hits = 0
        self._reads = 0

    def all_are(self, state: str) -> bool:
        """Whether every worker has come to a state."""
        return all(member.state == state for member in self.members)

    @property
    def steps(self) -> int:
        """How many steps of warming up are done, by all together."""
        return sum(member.steps for member in self.members)

    @property
    def is_due(self) -> bool:
        """Whether every busy worker has sent a tick since the last sum."""
        busy = [member for member in self.members if member.state == "busy"]
        return bool(busy) and all(member.is_new for member in busy)

    @property
    def has_news(self) -> bool:
        """Whether any worker has."""
        return any(member.is_new for member in self.members)

    def heard(self, member: Member, tick: Mapping[str, Any]) -> None:
        """Take a worker's tick."""
        member.last, member.is_new = tick, True
        for part in tick["caches"].values():
            self._reads += part["reads"]
            self._hits += part["hits"]

    def ended(self, member: Member) -> None:
        """Keep what a worker did before it ended."""
        self._requests += member.last.get("requests", 0)
        self._saved += member.last.get("savedSeconds", 0.0)
        member.last, member.is_new = {}, False
        member.state, member.pid, member.steps = "ended", None, 0

    def tick(self, second: int) -> Tick:
        """Return the last second of all workers."""
        reads: dict[str, int] = {}
        hits: dict[str, int] = {}
        loads: dict[str, int] = {}
        entries: dict[str, int] = {}
        for member in self.members:
            for name, part in member.last.get("caches", {}).items():
                entries[name] = entries.get(name, 0) + part["entries"]
                reads.setdefault(name, 0)
                hits.setdefault(name, 0)
                loads.setdefault(name, 0)
                if member.is_new:
                    reads[name] += part["reads"]
                    hits[name] += part["hits"]
                    loads[name] += part["loads"]
        tick = Tick(
            second,
            self._sum("requests") + self._requests,
            percent_of(sum(hits.values()), sum(reads.values())),
            self._sum("savedSeconds") + self._saved,
            sum(entries.values()),
            {
                name: CacheTick(
                    reads[name], percent_of(hits[name], reads[name]), entries[name], hits[name], loads[name]
                )
                for name in entries
            },
            [member.part() for member in self.members],
            sum(member.last.get("fetched", 0) for member in self.members if member.is_new),
        )
        for member in self.members:
            member.is_new = False
        return tick

    def summary(self, seconds: float, clears: int, invalidations: int) -> Summary:
        """Return the whole run, as far as the workers' ticks tell it."""
        return Summary(
            round(seconds, 1),
            self._sum("requests") + self._requests,
            percent_of(self._hits, self._reads) or 0.0,
            self._sum("savedSeconds") + self._saved,
            self._sum("entries"),
            clears,
            invalidations,
        )

    def _sum(self, name: str) -> Any:
        return sum(member.last.get(name, 0) for member in self.members)
