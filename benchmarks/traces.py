"""Recorded accesses: the work of headissue GmbH, Jens Wilke, used under CC BY 4.0; no part of this repository.

Each is an xz file of object numbers, four bytes each, big-endian.
"""

from __future__ import annotations

import lzma
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TRACES: Final = Path(__file__).resolve().parents[2] / "shared" / "traces"
CREDIT: Final = "Traces: headissue GmbH, Jens Wilke, CC BY 4.0."


class TracesMissingError(Exception):
    """There are no traces where they were looked for."""


def read_trace(path: Path, requests: int) -> Sequence[int]:
    """Return the first accesses of a trace.

    Args:
        path: An xz file of big-endian unsigned numbers of four bytes.
        requests: How many to read at most.
    """
    with lzma.open(path) as file:
        numbers = array("I", file.read(4 * requests))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def trace_paths(folder: Path) -> list[Path]:
    """Return the traces of a folder.

    Raises:
        TracesMissingError: When the folder holds no trace.
    """
    paths = sorted(folder.glob("*.trace.xz"))
    if not paths:
        msg = f"no *.trace.xz in {folder}: pass the folder that holds the traces with --traces"
        raise TracesMissingError(msg)
    return paths
