"""The exit codes of the ``cenote`` command: stable, so that scripts can rely on them."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EPILOG", "MEANINGS", "ExitCode"]


class ExitCode(IntEnum):
    """How a ``cenote`` command ended."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    NOT_CENOTE = 6
    MISSING_EXTRA = 7
    CANNOT_START = 8
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done as asked",
    ExitCode.REFUSED: "refused, declined, or a clear that could not keep its promise",
    ExitCode.USAGE: "wrong usage or settings",
    ExitCode.UNREACHABLE: "the server is not there, or did not answer in time",
    ExitCode.NOT_FOUND: "no such service",
    ExitCode.NOT_ALLOWED: "no token, a wrong token, or not allowed",
    ExitCode.NOT_CENOTE: "something else answers at that address",
    ExitCode.MISSING_EXTRA: "packages are missing, or Python is too old",
    ExitCode.CANNOT_START: "the server cannot start (port taken, for example)",
    ExitCode.INTERRUPTED: "stopped with Ctrl-C",
    ExitCode.BROKEN_PIPE: "the reader of the output went away",
}

EPILOG = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
