"""Hit ratios of recorded traces, by hit_ratio.py."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from benchmarks.report import Section
from benchmarks.settings import Plan, usable_cores


def ratios(plan: Plan) -> Section:
    """Replay the traces, each in a process of its own."""
    section = Section("ratios", "Hit ratios of recorded traces")
    try:
        from benchmarks import hit_ratio
    except ImportError as error:
        section.missing.append(f"the hit ratios need {error.name}, which is not installed; `make bench` installs it")
        return section
    try:
        names = hit_ratio.trace_paths(plan.traces)
    except hit_ratio.TracesMissingError as error:
        section.missing.append(str(error))
        return section
    requests = 30_000 if plan.quick else 500_000
    # The replays count, they do not time: they may run side by side.
    with ProcessPoolExecutor(min(usable_cores(), len(names)), mp_context=get_context("spawn")) as pool:
        rows = [row for rows in pool.map(hit_ratio.replay_trace, names, [requests] * len(names)) for row in rows]
    section.notes = [
        (
            f"At most {requests:,} requests of each trace. Hits in percent of the requests; * is the best of a row; "
            f"{hit_ratio.DEFAULT} is the default. {hit_ratio.CREDIT}"
        )
    ]
    section.tables = [hit_ratio.cells(rows)]
    section.losses = hit_ratio.losses(rows)
    return section


def traces_folder(given: str | None) -> Path:
    """Where the traces are: an option, the environment variable CENOTE_TRACES, or beside the repository."""
    from_environment = given or os.environ.get("CENOTE_TRACES")
    return Path(from_environment) if from_environment else Path(__file__).resolve().parents[2] / "shared" / "traces"
