"""The port of codecs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

__all__ = ["ANY", "Codec"]

ANY: Final[Any] = Any
"""The kind of a value of which nothing is known; None says the same."""


class Codec(ABC):
    """How values become bytes and bytes become values.

    What ``decode`` returns equals what was encoded and has the same types all the way down, or ``encode`` raises.
    A codec never changes a value silently. An object that is reached twice may come back as two equal ones.

    Encoded bytes begin with one byte that names their format, which no two codecs share, so that every later release
    can read them. A codec may be used from any thread.

    Attributes:
        name: What the codec is called in messages and settings.
    """

    name: ClassVar[str]

    @abstractmethod
    def encode(self, value: Any, kind: Any = ANY) -> bytes:
        """Turn a value into bytes.

        Args:
            value: The value.
            kind: Its annotated type, as ``typing.get_type_hints`` gives it; ANY or None when there is none. What was
                encoded with a kind is decoded with the same kind.

        Returns:
            The bytes.

        Raises:
            EncodeError: The value would not come back as it is, or does not fit its kind.
        """

    @abstractmethod
    def decode(self, data: bytes | memoryview, kind: Any = ANY) -> Any:
        """Turn bytes into the value they were made of; nothing in them is ever run.

        Args:
            data: What ``encode`` returned. The value keeps no reference to it.
            kind: The kind that ``encode`` was given.

        Returns:
            A value that shares nothing with any other.

        Raises:
            DecodeError: The bytes are damaged, come from elsewhere or belong to another kind. No other error is raised.
        """
