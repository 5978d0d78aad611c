"""Keys and identifiers.

A key is what a table is looked up with; it is made on every call, so it is as small as the arguments allow. An
identifier is the text that people see and hand back, ``analyse('ch-1')``; it is made when somebody asks for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Sequence
from datetime import date
from enum import Enum
from math import isnan
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from cenote.errors import ConfigurationError, InvalidKeyError
from cenote.literals import read_call

__all__ = ["CallKeys", "check_key", "check_name", "is_portable", "part", "parts", "text_of"]

NAME_RULE: Final = "1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

LONGEST_TEXT: Final = 512
"""Characters of an identifier's arguments; what is longer ends in a digest of the whole."""

LONGEST_PARSED: Final = 4 * LONGEST_TEXT

PLAIN: Final = frozenset({int, str, bytes})
"""Types whose exact instances never equal an instance of another type, so they stand for themselves in a key.

None is left out: a key that is None means that an identifier does not tell it.
"""


_WRITTEN_AS_LITERALS: Final = PLAIN | {bool, float, type(None)}

_PORTABLE: Final = _WRITTEN_AS_LITERALS | {UUID, date}
"""Types whose instances are equal if and only if their texts are, in every process; Decimal is none of them."""


def check_name(name: object, what: str = "a service's name") -> str:
    """Return the name of a service, or of ``what``, or raise ConfigurationError with the rule."""
    if not isinstance(name, str):
        raise ConfigurationError(f"{what} must be a string of {NAME_RULE}, not {type(name).__name__}")
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"{what} must be {NAME_RULE}, not {name[:80]!r}")
    return name


def check_key(key: object) -> str:
    """Return a key, or raise InvalidKeyError with the rule."""
    if not isinstance(key, str):
        raise InvalidKeyError(
            f"a key must be a string, not {type(key).__name__}; make one with an f-string or use memoize"
        )
    if not key:
        raise InvalidKeyError("a key must not be empty")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            raise InvalidKeyError(f"a key must be valid Unicode text, not {key[:80]!r}") from None
    return key


def part(value: Any) -> Hashable:
    """Make one argument part of a key, so that 1, 1.0 and True, or 0.0 and -0.0, are different keys.

    Args:
        value: The argument.

    Returns:
        The value itself when its type is plain, else its type together with what tells it from others of that type.
    """
    kind = type(value)
    if kind in PLAIN:
        return value  # type: ignore[no-any-return]  # what is plain is hashable
    if kind is float and (value == 0 or isnan(value)):
        return (float, repr(value))
    if kind is tuple:
        return (tuple, tuple([part(item) for item in value]))
    if kind is frozenset:
        return (frozenset, frozenset([part(item) for item in value]))
    return (kind, value)


def parts(*values: Any) -> tuple[Hashable, ...]:
    """Make several arguments a key."""
    return tuple([part(value) for value in values])


def is_portable(key: Any) -> bool:
    """Whether the text of a part of a key means the same value in every process, and no other value has it."""
    if type(key) is not tuple:
        return True
    kind, value = key
    if kind is tuple or kind is frozenset:
        return all(map(is_portable, value))
    return kind in _PORTABLE or issubclass(kind, Enum)


def _origin(key: Any) -> str:
    if type(key) is not tuple:
        return ""
    kind, value = key
    if kind is tuple:
        return "".join(map(_origin, value))
    if kind is frozenset:
        return "".join(sorted(map(_origin, value)))
    return f"{kind.__module__};" if issubclass(kind, Enum) else ""


def _value_of(key: Any) -> Any:
    """Undo ``part``."""
    if type(key) is not tuple:
        return key
    kind, value = key
    if kind is float and type(value) is str:
        return float(value)
    if kind is tuple:
        return tuple(_value_of(item) for item in value)
    if kind is frozenset:
        return frozenset(_value_of(item) for item in value)
    return value


def text_of(value: Any) -> str:
    """Write one argument as readable text that is the same in every process, if its ``repr`` is."""
    kind = type(value)
    if isinstance(value, Enum):
        return f"{kind.__qualname__}.{value.name}" if value.name is not None else repr(value)
    if kind is tuple:
        inner = ", ".join([text_of(item) for item in value])
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if kind is frozenset:
        return f"frozenset({{{', '.join(sorted([text_of(item) for item in value]))}}})" if value else "frozenset()"
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a whole number of thousands of digits, or a repr that fails
        text = hex(value) if kind is int else f"<{kind.__qualname__} without text {hash(value):#x}>"
    if kind not in _WRITTEN_AS_LITERALS and _reads_as_literal(text):
        return f"{kind.__qualname__}({text})"
    return text


def _reads_as_literal(text: str) -> bool:
    """Whether a text could be taken for a plain argument, and so its identifier for that of another call."""
    try:
        read_call(f"{text})")
    except ValueError:
        return False
    return True


class CallKeys:
    """How the calls of one memoized function become keys and identifiers.

    Attributes:
        name: What its identifiers begin with.
        positional: Parameters that an identifier shows by position, in order.
        keyword: Parameters that it shows by name, in order.
        variadic: Whether the key is one tuple of ``*args`` and sorted ``**kwargs`` items.
        single: Whether the key is a lone part rather than a tuple of parts.
    """

    __slots__ = ("keyword", "name", "opening", "positional", "single", "variadic")

    def __init__(
        self, name: str, positional: Sequence[str], keyword: Sequence[str], *, variadic: bool, single: bool
    ) -> None:
        self.name = name
        self.opening = name + "("
        self.positional = tuple(positional)
        self.keyword = tuple(keyword)
        self.variadic = variadic
        self.single = single

    def renamed(self, name: str) -> CallKeys:
        """Return the same with another name."""
        return CallKeys(name, self.positional, self.keyword, variadic=self.variadic, single=self.single)

    def identifier(self, key: Any) -> str:
        """Write the identifier of a key."""
        if self.variadic:
            shown, named = key
        elif self.single:
            shown, named = (key,), ()
            if self.keyword:
                shown, named = (), ((self.keyword[0], key),)
        else:
            count = len(self.positional)
            shown, named = key[:count], tuple(zip(self.keyword, key[count:], strict=True))
        texts = [text_of(_value_of(item)) for item in shown]
        texts += [f"{name}={text_of(_value_of(item))}" for name, item in named]
        text = ", ".join(texts)
        if len(text) > LONGEST_TEXT:
            digest = hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
            text = f"{text[: LONGEST_TEXT - 32]}…#{digest}"
        return f"{self.opening}{text})"

    def is_portable(self, key: Any) -> bool:
        """Whether the identifier of a key means the same call in every process."""
        if self.variadic:
            shown, named = key
            return all(map(is_portable, shown)) and all(is_portable(value) for _, value in named)
        return is_portable(key) if self.single else all(map(is_portable, key))

    def origin(self, key: Any) -> str:
        """Name the modules of the classes whose text does not tell them: an enum is written without its module."""
        if self.variadic:
            shown, named = key
            return "".join(map(_origin, shown)) + "".join(_origin(value) for _, value in named)
        return _origin(key) if self.single else "".join(map(_origin, key))

    def owns(self, identifier: str) -> bool:
        """Whether a text has the form of this function's identifiers."""
        return identifier.startswith(self.opening) and identifier.endswith(")")

    def key_of(self, identifier: str) -> Hashable | None:
        """Read the key back from an identifier whose arguments are all literals.

        Nothing is evaluated; only constants, tuples and names of parameters are read.

        Returns:
            The key; None when the text does not tell it.
        """
        if len(identifier) > len(self.opening) + LONGEST_PARSED:
            return None
        try:
            arguments, keywords = read_call(identifier[len(self.opening) :])
        except ValueError:
            return None
        shown = [part(argument) for argument in arguments]
        named = {name: part(value) for name, value in keywords.items()}
        key: Any
        if self.variadic:
            key = (tuple(shown), tuple(sorted(named.items(), key=itemgetter(0))))
        elif len(shown) != len(self.positional) or set(named) != set(self.keyword):
            return None
        else:
            items = (*shown, *[named[name] for name in self.keyword])
            key = items[0] if self.single else items
        try:
            return key if self.identifier(key) == identifier else None
        except (TypeError, ValueError):
            return None
