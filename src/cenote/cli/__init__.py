"""The ``cenote`` command."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]

_OLDEST = (3, 11)
_MISSING_EXTRA = 7


def main() -> None:
    """Run the command line; a Python too old or a missing package is told in one sentence."""
    if sys.version_info < _OLDEST:
        have = ".".join(str(part) for part in sys.version_info[:3])
        _give_up(f"Cenote needs Python {_OLDEST[0]}.{_OLDEST[1]} or newer; this is Python {have}")
    # What follows may not even compile on a Python that is too old.
    from cenote.cli.extras import needs  # noqa: PLC0415
    from cenote.errors import MissingExtraError  # noqa: PLC0415

    try:
        with needs("The cenote command", "cli"):
            from cenote.cli.app import run  # noqa: PLC0415
    except MissingExtraError as missing:
        _give_up(str(missing))
    run()


def _give_up(sentence: str) -> NoReturn:
    sys.stderr.write(f"Error: {sentence}\n")
    sys.exit(_MISSING_EXTRA)
