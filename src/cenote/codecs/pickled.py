"""The pickle codec: every value that pickle can store, signed.

The bytes::

    1 byte     0x50, the format
    32 bytes   HMAC-SHA256 over the format byte and the payload
    the rest   the payload, pickled with protocol 5
"""

from __future__ import annotations

import hmac
import pickle
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from cenote.codecs.codec import ANY, Codec
from cenote.codecs.formats import how_to_read
from cenote.errors import ConfigurationError, DecodeError, EncodeError

__all__ = ["PickleCodec"]

SHORTEST_KEY: Final = 16
_FORMAT: Final = b"\x50"
_PROTOCOL: Final = 5
_HEAD: Final = 33


class PickleCodec(Codec):
    """A codec that pickles, for values that nothing else can store.

    Unpickling runs code, so the bytes are signed and nothing is unpickled before its signature was verified. Whoever
    knows the key can run code in every process that decodes: keep it like a password. The kind is ignored.

    Args:
        key: The secret that signs, at least 16 bytes; text stands for its UTF-8 bytes.
        previous: Older secrets. What they signed is still read; nothing new is signed with them.

    Raises:
        ConfigurationError: A key is shorter than 16 bytes, or is neither bytes nor text.
    """

    name: ClassVar[str] = "pickle"

    def __init__(self, key: bytes | str, previous: Sequence[bytes | str] = ()) -> None:
        self._key = _checked(key)
        if isinstance(previous, bytes | str):
            raise ConfigurationError("previous must be a sequence of keys, not one key: write previous=[key]")
        self._keys = (self._key, *[_checked(each) for each in previous])

    def encode(self, value: Any, kind: Any = ANY) -> bytes:  # noqa: ARG002  # pickle stores types itself
        try:
            payload = pickle.dumps(value, _PROTOCOL)
        except Exception as error:  # values bring their own __reduce__, which may raise anything
            raise EncodeError(
                f"a value of type {type(value).__qualname__} cannot be pickled ({type(error).__name__}: {error}); "
                "convert it to plain data, or leave it in process memory"
            ) from error
        return _FORMAT + _signature(self._key, payload) + payload

    def decode(self, data: bytes | memoryview, kind: Any = ANY) -> Any:  # noqa: ARG002  # pickle stores types itself
        try:
            data = bytes(memoryview(data))
        except TypeError:
            raise DecodeError(f"only bytes can be decoded, not {type(data).__name__}") from None
        if data[:1] != _FORMAT or len(data) <= _HEAD:
            raise DecodeError(
                how_to_read(data) or "these bytes were not written by the pickle codec, or only a part of them is left"
            )
        signature, payload = data[1:_HEAD], data[_HEAD:]
        # No early end: the time must not tell which key it was.
        if not sum([hmac.compare_digest(_signature(key, payload), signature) for key in self._keys]):
            raise DecodeError("the bytes are damaged or were not signed with this key or a previous one")
        try:
            return pickle.loads(payload)  # noqa: S301  # the signature was verified above
        except Exception as error:
            raise DecodeError(f"what was pickled cannot be built any more ({type(error).__name__}: {error})") from error


def _checked(key: object) -> bytes:
    """Return a key as bytes, or raise ConfigurationError with the rule; the message never shows the key."""
    if isinstance(key, str):
        key = key.encode("utf-8", "surrogatepass")
    if not isinstance(key, bytes):
        raise ConfigurationError(f"a key of the pickle codec must be bytes or text, not {type(key).__name__}")
    if len(key) < SHORTEST_KEY:
        raise ConfigurationError(
            f"a key of the pickle codec must be at least {SHORTEST_KEY} bytes, not {len(key)}; "
            'make one with python -c "import secrets; print(secrets.token_hex())"'
        )
    return key


def _signature(key: bytes, payload: bytes) -> bytes:
    """Sign a payload of this format."""
    return hmac.digest(key, _FORMAT + payload, "sha256")
