"""The msgpack codec: plain data and annotated types, told apart to the last type.

The bytes::

    1 byte     the format, 0x01, 0x02 or 0x03
    4 bytes    CRC-32 of the payload, big-endian
    the rest   the payload: msgpack

0x01 describes itself: plain data, with extension types for what msgpack has no word for (they are listed in
``cenote.codecs.extensions``). Its CRC starts from 1.

0x02 is what msgspec makes of the annotated type, and is read with that type.

0x03 is like 0x01, with objects given by the place of their class in the annotation, depth first.

The CRCs of 0x02 and 0x03 start from a fingerprint of the annotated type, its fields and their types, with the format
added by exclusive or: bytes of a class that has changed since are refused like damaged ones.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final
from zlib import crc32

from cenote.codecs.codec import ANY, Codec
from cenote.codecs.formats import how_to_read
from cenote.errors import DecodeError, EncodeError, MissingExtraError

if TYPE_CHECKING:
    from cenote.codecs.annotation import Annotation

__all__ = ["MsgpackCodec"]

_HEAD: Final = Struct(">BI")
_PLAIN: Final = 1
_NATIVE: Final = 2
_OBJECTS: Final = 3
_MOST_ANNOTATIONS: Final = 4096
_SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})


class MsgpackCodec(Codec):
    """The default codec: msgpack by msgspec, made self-describing where msgpack is not.

    Without a kind it stores None, bool, int, float, str, bytes, list, tuple, set, frozenset, dict, datetime, date,
    time, timedelta, timezone, ZoneInfo, Decimal and UUID: these very types, no subclasses.
    With a kind it also stores the dataclasses, Structs, pydantic models, named tuples and enums that the kind names.

    A value that msgspec can read back as its kind, unchanged, is stored so; ``encode`` tries it. Every other value is
    stored piece by piece. A value that fits neither is refused.

    Raises:
        MissingExtraError: msgspec is not installed.
    """

    name: ClassVar[str] = "msgpack"

    def __init__(self) -> None:
        try:
            from msgspec.msgpack import Encoder  # noqa: PLC0415  # optional
        except ImportError as error:
            raise MissingExtraError("The msgpack codec", "lmdb") from error
        # They need msgspec in turn.
        from cenote.codecs import annotation, extensions, sameness  # noqa: PLC0415

        self._raw = Encoder().encode
        self._read = extensions.Reader(()).read
        self._make_annotation = annotation.Annotation
        self._make_writer = extensions.Writer
        self._kept = extensions.KEPT
        self._same = sameness.same
        self._unannotated = annotation.Annotation(ANY)
        self._annotations: dict[int, Annotation] = {}

    def encode(self, value: Any, kind: Any = ANY) -> bytes:
        try:
            made = type(value)
            if (kind is ANY or made in (self._annotations.get(id(kind)) or self._annotation(kind)).admits) and (
                made in _SCALARS
                or (made is dict and _covers(map(type, value)) and _covers(map(type, value.values())))
                or (made is list and _covers(map(type, value)))
            ):
                try:
                    payload = self._raw(value)
                except OverflowError:
                    return self._encode_by_pieces(value, kind)
                return _HEAD.pack(_PLAIN, crc32(payload, _PLAIN)) + payload
            return self._encode_by_pieces(value, kind)
        except EncodeError:
            raise
        except UnicodeEncodeError as error:
            raise EncodeError(f"text that is not valid Unicode cannot be stored: {error}") from error
        except RecursionError as error:
            raise EncodeError("the value contains itself, or is nested too deep for the stack that is left") from error
        except Exception as error:  # values and annotations bring their own code, which may raise anything
            raise EncodeError(
                f"a value of type {type(value).__qualname__} cannot be stored ({type(error).__name__}: {error})"
            ) from error

    def decode(self, data: bytes | memoryview, kind: Any = ANY) -> Any:
        try:
            form, check = _HEAD.unpack_from(data)
            payload = data[5:]
            if form == _PLAIN and crc32(payload, _PLAIN) == check:
                value = self._read(payload)
                if kind is ANY:
                    return value
                annotation = self._annotations.get(id(kind)) or self._annotation(kind)
                if type(value) in annotation.admits:
                    return value
            elif form in {_NATIVE, _OBJECTS}:
                annotation = self._annotation(kind)
                if crc32(payload, annotation.seed ^ form) == check:
                    if form == _OBJECTS:
                        return annotation.reader.read(payload)
                    if annotation.native is not None:
                        return annotation.native.decode(payload)
        except Exception as error:  # forged bytes with a valid CRC may go wrong in any way
            raise DecodeError(f"stored bytes cannot be read ({type(error).__name__}: {error})") from error
        raise DecodeError(
            how_to_read(data)
            or "stored bytes cannot be read: they are damaged, were written by something else, "
            f"or belong to another type than {self._annotation(kind).text}"
        )

    def _annotation(self, kind: Any) -> Annotation:
        """Return what is known of a kind; by identity, since hashing an annotation takes longer than decoding."""
        if kind is ANY or kind is None:
            return self._unannotated
        # The annotation keeps the kind, so that its id is not given to another one.
        known = self._annotations.get(id(kind))
        if known is None:
            if len(self._annotations) >= _MOST_ANNOTATIONS:
                self._annotations = {}
            known = self._annotations[id(kind)] = self._make_annotation(kind)
        return known

    def _encode_by_pieces(self, value: Any, kind: Any) -> bytes:
        annotation = self._annotation(kind)
        made = type(value)
        if made in self._kept and made not in annotation.admits:
            raise EncodeError(
                f"the annotation says {annotation.text} and the value is of type {made.__qualname__}; "
                "correct one of the two"
            )
        payload = self._encode_natively(value, annotation)
        form = _NATIVE
        if payload is None:
            writer = self._make_writer(annotation.classes)
            try:
                payload = writer.write(value)
            except EncodeError as error:
                raise EncodeError(f"{error}; {_choices(annotation)}") from error
            form = _OBJECTS if writer.objects else _PLAIN
        seed = _PLAIN if form == _PLAIN else annotation.seed ^ form
        return _HEAD.pack(form, crc32(payload, seed)) + payload

    def _encode_natively(self, value: Any, annotation: Annotation) -> bytes | None:
        """Let msgspec write a value, or return None when that would change it."""
        if annotation.native is None:
            return None
        try:
            payload = self._raw(value)
            return payload if self._same(value, annotation.native.decode(payload)) else None
        except Exception:  # noqa: BLE001  # whatever it was, the other way stores it or says why not
            return None


_covers: Final = _SCALARS.issuperset


def _choices(annotation: Annotation) -> str:
    """Say what can be done about a value that cannot be stored."""
    if annotation.kind is ANY:
        said = "annotate the function's return type with a dataclass, a msgspec Struct or a pydantic model"
    else:
        said = f"name its exact type in the annotation, which says {annotation.text}"
    return f"{said}, convert it to plain data, or choose the pickle codec"
