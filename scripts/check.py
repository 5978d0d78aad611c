"""Runs everything that a change must pass, one line a step; the output of a step is shown when it fails.

Tests run on the oldest and the newest Python that the machine has, and again on a copy installed from the wheel; those
marked as long on the newest alone. ``--tested`` leaves out what ``make test ARGS='-m "not long"'`` has just shown: the
newest Python is then tried with the installed copy, but for tests that start processes all the time.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTEST = ("-m", "pytest", "-q", "-n", "logical")
NOT_LONG = ("-m", "not long")
# What of the suite says nothing about an installed copy: it is about the source tree, takes its app from a page of the
# documentation, or wears processes out for minutes.
NOT_OF_A_WHEEL = (
    "tooling",
    "docs",
    "typing",
    "workers",
    "machine",
    "network",
    "test_deploy.py",
    "test_deploy_queries.py",
)
# What searches through what one file does: the other runs do.
SEARCHING = ("eviction", "stores", "strict")
# What starts processes all the time, or searches longest, where it has just been seen to pass.
SLOW = ("cli", "codecs", "eviction")


class StepFailedError(Exception):
    """A step did not pass; its text is what the step printed."""


def run(*command: str | Path, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Runs a command and returns what it printed.

    Raises:
        StepFailedError: It ended with another code than 0.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepFailedError(f"$ {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def last_line(output: str) -> str:
    """Returns the line in which pytest sums up, without its frame."""
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip("= ") if lines else ""


def format_is_kept() -> None:
    """Compares every file with what the formatter would make of it."""
    run(BIN / "ruff", "format", "--check", "--diff", ".")


def lint() -> None:
    """Runs every rule of ruff that pyproject.toml does not give a reason against."""
    run(BIN / "ruff", "check", ".")


def types() -> None:
    """Runs mypy in strict mode on the library and on the typing tests."""
    run(BIN / "mypy")


def public_types() -> None:
    """Reads the typing tests with a second type checker, as an editor does."""
    run(BIN / "basedpyright")


def layers() -> None:
    """Compares the imports with the map of rooms."""
    run(BIN / "lint-imports")


def documentation() -> None:
    """Builds the documentation; a warning is an error."""
    with tempfile.TemporaryDirectory() as target:
        run(BIN / "python", "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", target)


def proofs() -> str:
    """Checks the models of the network reach; without Java, or without TLC, it says so."""
    return last_line(run("nice", BIN / "python", "scripts/proofs.py")).removeprefix("proofs: ")


def tests_on(venv: str, python: str | None, *which: str) -> str:
    """Runs the suite in one environment, which is made when it is missing."""
    if python:
        run("scripts/venv.sh", "dev", venv, env={"PYTHON": python})
    return last_line(run(ROOT / venv / "bin" / "python", *PYTEST, *which))


def wheel(interpreter: str | None, left_out: tuple[str, ...]) -> str:
    """Builds the wheel, installs it in an environment outside the tree and tests that copy, without some folders."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        # From an sdist, so that a file missing there is missed here.
        run(BIN / "python", "-m", "build", "--no-isolation", "--outdir", place / "dist")
        built = next((place / "dist").glob("*.whl"))
        run(interpreter or BIN / "python", "-m", "venv", place / "venv")
        python = place / "venv" / "bin" / "python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        run(*pip, "--no-index", "--no-deps", built)
        run(python, "-I", "-c", "import cenote; assert cenote.__file__.count('site-packages')", cwd=place)
        run(*pip, "--require-hashes", "--only-binary", ":all:", "-r", ROOT / "requirements" / "dev.txt")
        run(python.with_name("cenote"), "--help", cwd=place)
        shutil.copytree(ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns(*left_out))
        shutil.copy(ROOT / "pyproject.toml", place)
        return last_line(run(python, *PYTEST, *NOT_LONG, cwd=place))


def minor(version: str) -> tuple[int, ...]:
    """Returns (3, 11) for "3.11.7"."""
    return tuple(map(int, version.split(".")[:2]))


def environments() -> list[tuple[str, str, str | None]]:
    """Returns version, folder and interpreter of the oldest and of the newest Python; no interpreter for .venv."""
    own = sys.version.split()[0]
    found = [line.split(" ", 1) for line in run("scripts/venv.sh", "--pythons").splitlines()]
    every = sorted([(minor(own), own, None), *((minor(v), v, path) for v, path in found if minor(v) != minor(own))])
    picked = []
    for number, version, python in dict.fromkeys((every[0], every[-1])):
        folder = f".venv-{number[0]}.{number[1]}" if python else ".venv"
        picked.append((version, folder, python))
    return picked


def main() -> int:
    """Runs the steps and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tested", action="store_true", help="the tests have just passed in .venv")
    tested = parser.parse_args().tested
    steps: list[tuple[str, Callable[[], str | None]]] = [
        ("format", format_is_kept),
        ("lint", lint),
        ("types", types),
        ("public types", public_types),
        ("layers", layers),
        ("documentation", documentation),
    ]
    # The models take one processor for minutes, while the tests wait for other processes.
    proving = ThreadPoolExecutor(1).submit(proofs)
    found = environments()
    if not tested:
        steps += [(f"tests on {each}", functools.partial(tests_on, at, path, *NOT_LONG)) for each, at, path in found]
    version, folder, python = found[-1]
    steps.append((f"long on {version}", functools.partial(tests_on, folder, python, "-m", "long")))
    if tested and python:
        steps.append((f"wheel on {version}", functools.partial(wheel, python, (*NOT_OF_A_WHEEL, *SLOW))))
    else:
        steps.append(("wheel", functools.partial(wheel, None, (*NOT_OF_A_WHEEL, *SEARCHING))))
    steps.append(("proofs", proving.result))
    failed = 0
    for name, step in steps:
        start = time.monotonic()
        try:
            verdict, detail, output = "ok", step() or "", ""
        except StepFailedError as error:
            verdict, detail, output = "FAILED", "", str(error)
            failed += 1
        print(f"{verdict:6}  {name:16} {time.monotonic() - start:6.1f} s  {detail}".rstrip(), flush=True)
        if output:
            print(output, flush=True)
    print(f"check: {len(steps) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
