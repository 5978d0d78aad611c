"""The ``cenote`` command."""

from __future__ import annotations

import importlib
import sys

__all__ = ["main"]

_OLDEST = (3, 11)
_MISSING_EXTRA = 7


def main() -> None:
    """Run the command line; a Python too old or a missing package is told in one sentence."""
    if sys.version_info < _OLDEST:
        have = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write(
            f"Error: Cenote needs Python {_OLDEST[0]}.{_OLDEST[1]} or newer; this is Python {have}.\n"
        )
        sys.exit(_MISSING_EXTRA)
    try:
        app = importlib.import_module("cenote.cli.app")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in {"typer", "rich", "httpx"}:
            raise
        from cenote.errors import MissingExtraError  # noqa: PLC0415 - the version of Python is checked first

        sys.stderr.write(f"Error: {MissingExtraError('The cenote command', 'cli')}\n")
        sys.exit(_MISSING_EXTRA)
    app.run()
