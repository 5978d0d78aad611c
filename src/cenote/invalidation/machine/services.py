"""The table of services: a number for each name, and the floors that outlive the records.

A floor is the sequence of the last whole clear. It has two places, and the older of the two is overwritten before the
head moves: one that is later than the head is of a clear that was cut off, and does not count. Each carries a check of
16 bits, because a damaged floor would bring back what was cleared.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Final

from cenote.errors import ConfigurationError
from cenote.invalidation.machine.file import SharedFile
from cenote.invalidation.machine.layout import SERVICES, SERVICES_AT, SERVICES_EACH, ServiceWord, Word

__all__ = ["DamagedError", "Services"]

_GLOBAL: Final = 0
_NAME_BYTES: Final = 72
_CHECK_BYTES: Final = 8
_CHECK_BITS: Final = 48
_WHOLE: Final = (1 << _CHECK_BITS) - 1
_EVERYTHING: Final = SERVICES
"""What the floors of everything are salted with, where a service's are with its number."""


class DamagedError(Exception):
    """Something in the file is not what was written there; whoever meets it gives the file up."""


class Services:
    """The services of one shared file; the global cache has number 0."""

    def __init__(self, file: SharedFile) -> None:
        """Read the table of a file."""
        self._file = file
        self._words = file.words
        self._numbers: dict[str | None, int] = {None: _GLOBAL}
        self._names: list[str | None] = [None]

    def number(self, name: str | None) -> int:
        """Return the number of a service, giving it one under the file's lock if it has none.

        Raises:
            ConfigurationError: The table is full.
            LockBusyError: The lock was not to be had in time.
        """
        found = self._numbers.get(name)
        if found is None:
            with self._file.lock:
                self._read()
                found = self._numbers.get(name)
                if found is None:
                    found = self._add(str(name))
        return found

    def name(self, number: int) -> str | None:
        """Return the name of a number that a record carries.

        Raises:
            DamagedError: There is no such service.
        """
        if number >= len(self._names):
            self._read()
        if number >= len(self._names):
            raise DamagedError(f"there is no service number {number}")
        return self._names[number]

    def names(self) -> list[str | None]:
        """Return the names of all services, by number; None is the global cache."""
        self._read()
        return list(self._names)

    def floor(self, number: int, *, soft: bool) -> int:
        """Return the sequence of the last whole clear of a service, those of everything included; 0 for none.

        Raises:
            DamagedError: A floor is not what was written.
        """
        base = Word.FLOORS + 2 * soft
        own = self._first(number) + ServiceWord.FLOORS + 2 * soft
        return max(self._value(base, _EVERYTHING), self._value(own, number))

    def raise_floor(self, number: int | None, sequence: int, *, soft: bool) -> None:
        """Note a whole clear of a service, or of everything (None), before the head moves to it; under the lock."""
        salt = _EVERYTHING if number is None else number
        at = Word.FLOORS if number is None else self._first(number) + ServiceWord.FLOORS
        at += 2 * soft
        first, second = (self._unsealed(self._words[at + place], salt) for place in (0, 1))
        head = self._words[Word.HEAD]
        # One of a clear that was cut off counts as older than any.
        older = 0 if (first if first <= head else -1) <= (second if second <= head else -1) else 1
        self._words[at + older] = _sealed(sequence, salt)

    def drop_after(self, head: int) -> None:
        """Take back the floors of clears that were cut off before the head moved, or it would move past them.

        Called under the lock.
        """
        firsts = [self._first(number) + ServiceWord.FLOORS for number in range(len(self.names()))]
        for salt, first in [(_EVERYTHING, Word.FLOORS), *enumerate(firsts)]:
            for at in range(first, first + 4):
                if self._unsealed(self._words[at], salt) > head:
                    self._words[at] = 0

    def note_key(self, number: int, sequence: int) -> None:
        """Note the sequence of a record of a single key, before the head moves to it."""
        self._words[self._first(number) + ServiceWord.LAST_KEY] = sequence

    def last_key(self, number: int) -> int:
        """Return the sequence of the last record of a single key."""
        return self._words[self._first(number) + ServiceWord.LAST_KEY]

    def note_scoped(self, number: int, sequence: int) -> None:
        """Note the sequence of a record of tags or of a prefix, before the head moves to it."""
        self._words[self._first(number) + ServiceWord.LAST_SCOPED] = sequence

    def scoped_word(self, number: int) -> tuple[Sequence[int], int]:
        """Return where a sequence stands after which nothing was invalidated by tags or a prefix; a mirror's own."""
        return self._words, self._first(number) + ServiceWord.LAST_SCOPED

    def verify(self) -> None:
        """Raise DamagedError when a name or a floor is not what was written."""
        for number in range(len(self.names())):
            for soft in (False, True):
                self.floor(number, soft=soft)

    @staticmethod
    def _first(number: int) -> int:
        return (SERVICES_AT + number * SERVICES_EACH) // 8

    def _value(self, at: int, salt: int) -> int:
        head = self._words[Word.HEAD]
        values = [self._unsealed(self._words[at + place], salt) for place in (0, 1)]
        return max([value for value in values if value <= head], default=0)

    @staticmethod
    def _unsealed(word: int, salt: int) -> int:
        value = word & _WHOLE
        if word != _sealed(value, salt):
            raise DamagedError("a floor is damaged")
        return value

    def _read(self) -> None:
        """Read the names that came since; one that is being written is not counted yet."""
        count = self._words[Word.SERVICES]
        if count >= SERVICES:
            raise DamagedError("the number of services is damaged")
        for number in range(len(self._names), count + 1):
            at = SERVICES_AT + number * SERVICES_EACH
            raw = bytes(self._file.bytes[at : at + _NAME_BYTES + _CHECK_BYTES])
            name = raw[1 : 1 + raw[0]]
            if _check_of(raw[:_NAME_BYTES], number) != raw[_NAME_BYTES:]:
                raise DamagedError("the name of a service is damaged")
            text = name.decode()
            self._names.append(text)
            self._numbers[text] = number

    def _add(self, name: str) -> int:
        number = len(self._names)
        if number >= SERVICES:
            raise ConfigurationError(
                f"the processes of one machine can share the caches of {SERVICES - 1} services at most; "
                f"there is no room for {name!r}"
            )
        text = name.encode()
        raw = (bytes([len(text)]) + text).ljust(_NAME_BYTES, b"\0")
        at = SERVICES_AT + number * SERVICES_EACH
        self._file.bytes[at : at + _NAME_BYTES + _CHECK_BYTES] = raw + _check_of(raw, number)
        self._words[Word.SERVICES] = number
        self._names.append(name)
        self._numbers[name] = number
        return number


def _check_of(raw: bytes, number: int) -> bytes:
    return zlib.crc32(raw, number + 1).to_bytes(_CHECK_BYTES, "little")


def _sealed(value: int, salt: int) -> int:
    """Put a check into the upper bits; 0 stands for itself, as a new file holds it."""
    if not value:
        return 0
    check = zlib.crc32(value.to_bytes(8, "little"), salt + 1) & 0xFFFF
    return check << _CHECK_BITS | value
