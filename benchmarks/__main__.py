"""The benchmarks, all of them or some: prints the tables and writes benchmarks/RESULTS.md.

python -m benchmarks [--quick] [--only NAME ...] [--traces FOLDER] [--port N]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.child import ChildFailedError
from benchmarks.clearing import clearing
from benchmarks.endpoint import endpoint
from benchmarks.forecasts import forecasts
from benchmarks.hits import coroutines, keys, memoize, misses
from benchmarks.machine import machine as processes
from benchmarks.memory import memory
from benchmarks.network import network
from benchmarks.ratios import ratios, traces_folder
from benchmarks.report import Section, machine, markdown_report, section_text, targets_table, text_table
from benchmarks.settings import Plan, usable_cores
from benchmarks.threads import threads

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"

SECTIONS: dict[str, Callable[[Plan], Section]] = {
    "memoize": memoize,
    "async": coroutines,
    "keys": keys,
    "misses": misses,
    "clear": clearing,
    "memory": memory,
    "http": endpoint,
    "ratios": ratios,
    "threads": threads,
    "machine": processes,
    "network": network,
    "forecasts": forecasts,
}


def main() -> int:
    """Run what was asked for; the exit code is 1 when a section came to nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Cenote against other caching libraries.")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), metavar="NAME", help=", ".join(SECTIONS))
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and smaller caches; RESULTS.md stays as it is"
    )
    parser.add_argument("--traces", help="folder of *.trace.xz files (or the environment variable CENOTE_TRACES)")
    parser.add_argument("--port", type=int, default=0, help="TCP port of the HTTP section; any free one when not given")
    options = parser.parse_args()
    plan = Plan(quick=options.quick, traces=traces_folder(options.traces), port=options.port)
    head = machine(usable_cores())
    print("\n".join(head), end="\n\n", flush=True)
    sections: list[Section] = []
    failed = 0
    for name in options.only or SECTIONS:
        begin = time.perf_counter()
        try:
            section = SECTIONS[name](plan)
        except ChildFailedError as error:
            section = Section(name, name, missing=[f"{name}: {error}"])
            failed = 1
        section.seconds = time.perf_counter() - begin
        sections.append(section)
        print(section_text(section, markdown=False))
        print(f"\n({name}: {section.seconds:.1f} s)\n", flush=True)
    print(text_table(targets_table(sections), markdown=False))
    if options.quick or options.only:
        print("\nNot all was measured in full, so RESULTS.md was left as it is.")
    else:
        RESULTS.write_text(markdown_report(sections, head, remark=_remark()), encoding="utf-8")
        print(f"\nWrote {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")
    return failed


def _remark() -> str:
    return (
        "One machine tells little about another: compare ratios, not nanoseconds. None of the other libraries promises "
        "a strict clear; what each promises instead stands in its adapter."
    )


if __name__ == "__main__":
    sys.exit(main())
