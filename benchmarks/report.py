"""The report: tables and targets, on the terminal and in RESULTS.md."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import Sample

VERSIONS = ("cachebox", "cachetools", "cashews", "aiocache", "dogpile.cache", "diskcache", "redis", "fastapi",
            "starlette", "pydantic", "uvicorn", "httptools", "uvloop")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A figure that was promised.

    Attributes:
        what: What is measured.
        limit: The figure it must keep to.
        value: The figure it has; None when it could not be measured.
        unit: Written behind both.
        at_least: Whether more is better.
    """

    what: str
    limit: float
    value: float | None
    unit: str = ""
    at_least: bool = False

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        return "met" if (self.value >= self.limit if self.at_least else self.value <= self.limit) else "MISSED"

    def row(self) -> list[str]:
        found = "-" if self.value is None else f"{self.value:.3g}{self.unit}"
        return [self.what, f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}", found, self.verdict]


@dataclass
class Section:
    """One table with what is to be said about it.

    Attributes:
        name: For ``--only``.
        title: Its heading.
        notes: Sentences below the heading: what was done and how.
        tables: Rows of cells; the first of each is the heading.
        targets: What was promised.
        losses: Sentences: where others are ahead, and why.
        missing: Sentences: what could not be measured.
    """

    name: str
    title: str
    notes: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    seconds: float = 0.0


def time_table(samples: dict[str, Sample], floor: str, first: str = "") -> list[list[str]]:
    """Make a table of times: median, quartiles, and how many times the floor's median that is."""
    rows = [[first, "median ns", "quartiles", f"x {floor}"]]
    base = samples[floor].median if floor in samples else None
    for name, sample in samples.items():
        low, high = sample.quartiles
        ratio = "-" if base is None else f"{sample.median / base:.2f}"
        rows.append([name, f"{sample.median * 1e9:,.0f}", f"{low * 1e9:,.0f} .. {high * 1e9:,.0f}", ratio])
    return rows


def ratio(samples: dict[str, Sample], ours: str, theirs: str) -> float | None:
    """The ratio of two medians; None when one is missing."""
    if ours not in samples or theirs not in samples:
        return None
    return samples[ours].median / samples[theirs].median


def text_table(rows: list[list[str]], *, markdown: bool) -> str:
    """Lay a table out; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [
        [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    if not markdown:
        return "\n".join("  ".join(row).rstrip() for row in padded)
    rule = ["-" * width if not place else "-" * (width - 1) + ":" for place, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], rule, *padded[1:]])


def section_text(section: Section, *, markdown: bool) -> str:
    """Write one section."""
    parts = [f"## {section.title}"]
    parts += section.notes
    parts += [text_table(table, markdown=markdown) for table in section.tables]
    for heading, sentences in (("Where others are ahead:", section.losses), ("Not measured:", section.missing)):
        if sentences:
            parts.append(
                heading + "\n\n" * markdown + ("" if markdown else "\n") + "\n".join(f"- {s}" for s in sentences)
            )
    return "\n\n".join(parts)


def targets_table(sections: list[Section]) -> list[list[str]]:
    """Make the table of all targets."""
    rows = [["target", "promised", "measured", ""]]
    return rows + [target.row() for section in sections for target in section.targets]


def cpu_model() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def machine(cores: int) -> list[str]:
    """Lines that say where the figures come from."""
    found = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            if name not in ("httptools", "uvloop"):
                found.append(f"{name} not installed")
    import cenote

    return [
        f"- Machine: {cpu_model()}, {cores} cores, {platform.system()} {platform.release()} {platform.machine()}",
        (
            f"- Python: {platform.python_implementation()} {sys.version.split()[0]}, "
            f"switch interval {sys.getswitchinterval() * 1000:g} ms"
        ),
        f"- Versions: cenote {cenote.__version__}, {', '.join(found)}",
        f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    ]


def markdown_report(sections: list[Section], head: list[str], *, remark: str) -> str:
    """Write RESULTS.md."""
    parts = [
        "# Results",
        (
            "Written by `make bench`. Contestants are called in turn, round by round, in one process and with the "
            "garbage collector off while timing; figures are medians of the rounds with their quartiles, and ratios "
            "to a named floor."
        ),
        remark,
        "\n".join(head),
        "## Targets",
        text_table(targets_table(sections), markdown=True),
        *[section_text(section, markdown=True) for section in sections],
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
