"""Hit ratios: replays recorded accesses through Cenote's eviction policies and through other caches.

The traces are the work of headissue GmbH, Jens Wilke, used under CC BY 4.0; they are no part of this repository.
Each is an xz file of object numbers, four bytes each, big-endian. Every cache holds the same number of entries, is
asked for each object in turn and stores it on a miss.

    python -m benchmarks.hit_ratio [--traces FOLDER] [--requests N] [--markdown]
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cachebox
import cachetools

from benchmarks.traces import CREDIT, TRACES, TracesMissingError, read_trace, trace_paths
from cenote.entry import Entry
from cenote.eviction import POLICIES

SHARES: Final = (0.01, 0.05, 0.10, 0.25)
REQUESTS: Final = 500_000
DEFAULT: Final = "cenote s3fifo"
_NOTABLE: Final = 0.05  # points; less is noise


@dataclass(frozen=True)
class Row:
    """One trace at one cache size.

    Attributes:
        trace: The trace's name.
        requests: How many accesses were replayed.
        distinct: How many different objects they name.
        capacity: How many entries each cache held at most.
        ratios: Hits in percent of the requests, by cache.
    """

    trace: str
    requests: int
    distinct: int
    capacity: int
    ratios: dict[str, float]


def cenote_hits(policy_name: str, keys: Iterable[int], capacity: int) -> int:
    """Replay through one of Cenote's policies, driven as a store drives it."""
    policy = POLICIES[policy_name](capacity)
    touch, cap = policy.touch, policy.touch_cap
    table: dict[Hashable, Entry] = {}
    hits = 0
    for key in keys:
        entry = table.get(key)
        if entry is not None:
            hits += 1
            if touch is not None:
                touch(entry)
            elif entry.freq < cap:
                entry.freq += 1
            continue
        if len(table) >= capacity:
            victim = policy.evict()
            if victim is not None:
                del table[victim.key]
        table[key] = entry = Entry(key, None)
        policy.admit(entry)
    return hits


def mapping_hits(make: Callable[[int], Any], keys: Iterable[int], capacity: int) -> int:
    """Replay through a cache that is used like a dictionary."""
    cache = make(capacity)
    hits = 0
    for key in keys:
        if cache.get(key) is not None:
            hits += 1
        else:
            cache[key] = True
    return hits


def functools_hits(keys: Iterable[int], capacity: int) -> int:
    """Replay through ``functools.lru_cache``."""
    cached = functools.lru_cache(maxsize=capacity)(bool)
    for key in keys:
        cached(key)
    return cached.cache_info().hits


CACHES: Final[dict[str, Callable[[Iterable[int], int], int]]] = {
    "cenote s3fifo": functools.partial(cenote_hits, "s3fifo"),
    "cenote sieve": functools.partial(cenote_hits, "sieve"),
    "cenote lru": functools.partial(cenote_hits, "lru"),
    "functools lru": functools_hits,
    "cachetools lru": functools.partial(mapping_hits, cachetools.LRUCache),
    "cachetools lfu": functools.partial(mapping_hits, cachetools.LFUCache),
    "cachebox lru": functools.partial(mapping_hits, cachebox.LRUCache),
    "cachebox lfu": functools.partial(mapping_hits, cachebox.LFUCache),
    "cachebox fifo": functools.partial(mapping_hits, cachebox.FIFOCache),
    "cachebox random": functools.partial(mapping_hits, cachebox.RRCache),
}


def measure(folder: Path = TRACES, requests: int = REQUESTS) -> list[Row]:
    """Replay every trace of a folder at every size.

    Args:
        folder: Where the ``*.trace.xz`` files are.
        requests: How many accesses of each to replay at most.

    Raises:
        TracesMissingError: When the folder holds no trace.
    """
    return [row for path in trace_paths(folder) for row in replay_trace(path, requests)]


def replay_trace(path: Path, requests: int) -> list[Row]:
    """Replay one trace at every size."""
    keys = read_trace(path, requests)
    distinct = len(set(keys))
    rows = []
    for share in SHARES:
        capacity = max(1, int(distinct * share))
        ratios = {name: 100 * replay(keys, capacity) / len(keys) for name, replay in CACHES.items()}
        rows.append(Row(path.name.removesuffix(".trace.xz"), len(keys), distinct, capacity, ratios))
    return rows


def losses(rows: Iterable[Row]) -> list[str]:
    """Return one line for each row where other caches beat our default, with the points between them."""
    sentences = []
    for row in rows:
        ours = row.ratios[DEFAULT]
        ahead = {name: ratio - ours for name, ratio in row.ratios.items() if ratio - ours >= _NOTABLE}
        if ahead:
            points = ", ".join(f"{name} {behind:+.2f}" for name, behind in ahead.items())
            sentences.append(f"{row.trace}, {row.capacity} entries: {points} points.")
    return sentences


def cells(rows: Iterable[Row]) -> list[list[str]]:
    """Return the rows as cells below a heading; the best ratio of each row is starred."""
    lines = [["trace", "requests", "distinct", "entries", *CACHES]]
    for row in rows:
        best = max(round(ratio, 2) for ratio in row.ratios.values())
        lines.append(
            [
                *(str(value) for value in (row.trace, row.requests, row.distinct, row.capacity)),
                *(f"{ratio:.2f}{'*' if round(ratio, 2) == best else ''}" for ratio in row.ratios.values()),
            ]
        )
    return lines


def table(rows: Iterable[Row], *, markdown: bool = False) -> str:
    """Return the rows as text."""
    lines = cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    if not markdown:
        return "\n".join("  ".join(line) for line in padded)
    padded.insert(1, ["-" * (width - 1) + ":" for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def main() -> int:
    """Print the table and where we lose; the exit code is 2 when there are no traces."""
    parser = argparse.ArgumentParser(description="Hit ratios of Cenote's eviction policies and of other caches.")
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of *.trace.xz files")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="accesses replayed of each trace at most")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args()
    try:
        rows = measure(options.traces, options.requests)
    except TracesMissingError as error:
        print(f"hit_ratio: {error}", file=sys.stderr)
        return 2
    print(table(rows, markdown=options.markdown))
    print(f"\nHits in percent; * is the best of a row. {CREDIT}")
    print(f"\nAhead of {DEFAULT}, our default:")
    print("\n".join(f"- {sentence}" for sentence in losses(rows)) or "- nowhere")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
