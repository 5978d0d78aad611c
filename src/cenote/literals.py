"""Reading literals back from the text of an identifier, as ``repr`` writes them.

A parser of its own, because ``ast.parse`` accepts far more, and because on CPython 3.11 two threads that parse at once
can make each other fail.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["NotALiteralError", "read_call"]

DEEPEST: Final = 20

_NUMBER: Final = re.compile(r"-?(?:inf|nan|\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_STRING: Final = re.compile(r"""b?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)", re.DOTALL)
_NAME: Final = re.compile(r"([^\W\d]\w*)=")
_CONSTANTS: Final = (("None", None), ("True", True), ("False", False))
_SHORT_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}


class NotALiteralError(ValueError):
    """The text is no literal that this module reads."""


def read_call(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Read the arguments of a call.

    Args:
        text: What follows the opening parenthesis, closing parenthesis included: ``1, 'a', kind=None)``.

    Returns:
        The arguments by position and by name.

    Raises:
        NotALiteralError: It is something else.
    """
    reader = _Reader(text)
    shown: list[Any] = []
    named: dict[str, Any] = {}
    while not reader.take(")"):
        if shown or named:
            reader.expect(", ")
        name = _NAME.match(text, reader.at)
        if name is not None:
            reader.at = name.end()
            named[name.group(1)] = reader.value()
        else:
            shown.append(reader.value())
    if reader.at != len(text):
        raise NotALiteralError(text)
    return shown, named


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def take(self, token: str) -> bool:
        found = self.text.startswith(token, self.at)
        if found:
            self.at += len(token)
        return found

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise NotALiteralError(self.text)

    def value(self, depth: int = 0) -> Any:
        if self.take("("):
            return self._tuple(depth + 1)
        for word, constant in _CONSTANTS:
            if self.take(word):
                return constant
        string = _STRING.match(self.text, self.at)
        if string is not None:
            self.at = string.end()
            return _unquote(string.group())
        number = _NUMBER.match(self.text, self.at)
        if number is None:
            raise NotALiteralError(self.text)
        self.at = number.end()
        digits = number.group()
        return int(digits) if digits.lstrip("-").isdigit() else float(digits)

    def _tuple(self, depth: int) -> tuple[Any, ...]:
        if depth > DEEPEST:
            raise NotALiteralError(self.text)
        items: list[Any] = []
        while not self.take(")"):
            if len(items) == 1 and self.take(",)"):
                break
            if items:
                self.expect(", ")
            items.append(self.value(depth))
        return tuple(items)


def _unquote(literal: str) -> str | bytes:
    is_bytes = literal[0] == "b"
    body = literal[2:-1] if is_bytes else literal[1:-1]
    text = _ESCAPE.sub(_unescape, body) if "\\" in body else body
    return text.encode("latin-1") if is_bytes else text


def _unescape(match: re.Match[str]) -> str:
    escape = match.group()[1:]
    if escape[0] in "xuU" and len(escape) > 1:
        return chr(int(escape[1:], 16))
    if escape in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[escape]
    raise NotALiteralError(match.group())
