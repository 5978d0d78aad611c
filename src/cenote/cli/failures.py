"""The ways in which a command fails, each with its exit code.

::

    Failure
    ├── WrongUsage         arguments or settings that cannot be used
    ├── ServerUnreachable  nobody answers, or not in time
    ├── NotCenote          something else answers
    ├── NotAllowed         no token, a wrong one, or not allowed
    ├── NotFound           no such service
    ├── Refused            the server said no, or could not keep its promise
    └── CannotStart        a server of our own cannot be started
"""

from __future__ import annotations

from typing import Any, ClassVar

from cenote.cli.exit_codes import ExitCode

__all__ = [
    "CannotStart",
    "Failure",
    "NotAllowed",
    "NotCenote",
    "NotFound",
    "Refused",
    "ServerUnreachable",
    "WrongUsage",
]


class Failure(Exception):  # noqa: N818 - it ends a command; the names say how
    """A command cannot do what was asked; the message is one sentence for a person.

    Attributes:
        code: The exit code.
        answer: What the server answered, when it was JSON.
    """

    code: ClassVar[ExitCode] = ExitCode.REFUSED

    def __init__(self, message: str, answer: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.answer = answer


class WrongUsage(Failure):
    """Arguments or settings cannot be used."""

    code = ExitCode.USAGE


class ServerUnreachable(Failure):
    """Nobody answers at the address, or not in time."""

    code = ExitCode.UNREACHABLE


class NotCenote(Failure):
    """Something answers at the address, but it is not Cenote."""

    code = ExitCode.NOT_CENOTE


class NotAllowed(Failure):
    """The server wants a token, or another one."""

    code = ExitCode.NOT_ALLOWED


class NotFound(Failure):
    """The server has no such service."""

    code = ExitCode.NOT_FOUND


class Refused(Failure):
    """The server said no, or could not keep its promise."""

    code = ExitCode.REFUSED


class CannotStart(Failure):
    """A server of our own cannot be started."""

    code = ExitCode.CANNOT_START
