"""Children: measurements that need a process of their own; the answer is one line of JSON.

python -m benchmarks.child MODULE FUNCTION JSON-ARGUMENTS
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

from benchmarks.settings import ROOT


class ChildFailedError(Exception):
    """A measurement in a process of its own came to nothing."""


def start(module: str, function: str, *arguments: Any) -> subprocess.Popen[str]:
    """Start a measurement."""
    command = [sys.executable, "-m", "benchmarks.child", module, function, json.dumps(arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str], seconds: float = 240) -> Any:
    """Wait for a measurement and return what it found.

    Raises:
        ChildFailedError: It failed or took too long.
    """
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise ChildFailedError(f"took longer than {seconds:g} s") from None
    if process.returncode:
        lines = err.strip().splitlines() or [f"exit code {process.returncode}"]
        raise ChildFailedError(lines[-1])
    return json.loads(out.splitlines()[-1])


def run(module: str, function: str, *arguments: Any) -> Any:
    """Measure in a process of its own and return what it found."""
    return result(start(module, function, *arguments))


if __name__ == "__main__":
    found = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*json.loads(sys.argv[3]))
    print(json.dumps(found), flush=True)
