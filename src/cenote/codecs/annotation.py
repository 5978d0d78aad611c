"""Annotation: what a type says about the values that come, worked out once."""

from __future__ import annotations

import dataclasses
import types
from contextlib import suppress
from enum import Enum
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

from cenote.codecs.codec import ANY
from cenote.codecs.extensions import KEPT, Reader
from cenote.codecs.objects import fields_of, is_kept, is_model

__all__ = ["Annotation"]

_TOWER: Final[dict[Any, tuple[type, ...]]] = {float: (float, int), complex: (complex, float, int)}
"""An int may stand where a float is annotated, as type checkers have it."""


class Annotation:
    """One annotated type.

    Args:
        kind: The type; ANY and None say nothing.

    Attributes:
        kind: The same; kept, so that its ``id`` is not given to another one.
        text: How messages call it.
        admits: The plain types that a value of it may have at the top.
        classes: The classes in it whose instances can be stored, each with its place.
        reader: Reads what was written with these classes.
        native: msgspec's decoder of this type; None where there is none, or no need of one.
        seed: A fingerprint of the type with all its fields, so that bytes of another one are refused.
    """

    __slots__ = ("admits", "classes", "kind", "native", "reader", "seed", "text")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.text = kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)
        self.admits = frozenset(plain for plain in KEPT if _may_be(plain, kind))
        survey = _Survey()
        told = survey.tell(kind)
        self.classes = survey.classes
        # A | B and B | A are told alike, but give the classes other places.
        places = [each.__qualname__ for each in self.classes]
        self.seed = int.from_bytes(blake2b(f"{told} {places}".encode(), digest_size=4).digest(), "big")
        self.reader = Reader(tuple(self.classes))
        self.native: msgspec.msgpack.Decoder[Any] | None = None
        if self.classes and not any(map(is_model, self.classes)):
            # Annotations are anything, and so is what they raise.
            with suppress(Exception):
                self.native = msgspec.msgpack.Decoder(kind)


def _may_be(plain: type, kind: Any) -> bool:
    """Whether an instance of a plain type may have this annotation; yes, when that cannot be told."""
    origin = get_origin(kind)
    if kind is ANY or kind is None or kind is object:
        return True
    if origin is Annotated:
        return _may_be(plain, get_args(kind)[0])
    if origin in {Union, types.UnionType}:
        return any(_may_be(plain, each) for each in get_args(kind))
    if origin is Literal:
        return any(type(each) is plain for each in get_args(kind))
    if is_typeddict(origin or kind):
        return plain is dict
    wrapped = _unwrapped(kind)
    if wrapped is not None:
        return _may_be(plain, wrapped)
    try:
        return issubclass(plain, _TOWER.get(kind, origin or kind))
    except TypeError:
        return True


def _unwrapped(kind: Any) -> Any:
    """Return what a NewType or a type alias stands for, or None."""
    for name in ("__supertype__", "__value__"):
        if not isinstance(kind, type) and hasattr(kind, name):
            return getattr(kind, name)
    return None


class _Survey:
    """Walks through a type: writes down all that its bytes depend on, and collects its classes.

    The text is the same in every process and every version of Python.
    """

    def __init__(self) -> None:
        self.classes: dict[type, int] = {}
        self._seen: set[int] = set()

    def tell(self, kind: Any) -> str:
        """Describe a type."""
        origin, arguments = get_origin(kind), get_args(kind)
        wrapped = _unwrapped(kind)
        if kind is ANY or kind is None or kind is object:
            return "Any"
        if origin is Annotated:
            return self.tell(arguments[0])
        if origin in {Union, types.UnionType}:
            return f"({' | '.join(sorted([self.tell(each) for each in arguments]))})"
        if origin is Literal:
            return f"Literal[{', '.join([self._literal(each) for each in arguments])}]"
        if origin is not None:
            return f"{self.tell(origin)}[{', '.join([self.tell(each) for each in arguments])}]"
        if isinstance(kind, type):
            return self._class(kind)
        if wrapped is not None and id(kind) not in self._seen:
            self._seen.add(id(kind))
            return self.tell(wrapped)
        return self._name(kind)

    def _name(self, kind: Any) -> str:
        """Name what is no type: a type variable, an alias met before, the parameters of a Callable."""
        if isinstance(kind, list):
            return f"[{', '.join([self.tell(each) for each in kind])}]"
        return getattr(kind, "__name__", type(kind).__name__)

    def _literal(self, each: Any) -> str:
        return f"{self._class(type(each))}.{each.name}" if isinstance(each, Enum) else repr(each)

    def _class(self, kind: type) -> str:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if kind in KEPT or id(kind) in self._seen:
            return name
        self._seen.add(id(kind))
        if is_kept(kind):
            self.classes[kind] = len(self.classes)
        if issubclass(kind, Enum):
            members = [f"{member}={each.value!r}" for member, each in kind.__members__.items()]
            return f"{name}{{{', '.join(members)}}}"
        fields = tuple(sorted(kind.__annotations__)) if is_typeddict(kind) else fields_of(kind)
        if fields is None:
            return name
        hints = _hints(kind)
        told = [f"{field}: {self.tell(hints.get(field))}" for field in fields]
        if issubclass(kind, msgspec.Struct):
            config = kind.__struct_config__
            # How msgspec lays a Struct out; what it leaves out equals a default.
            told += [
                *kind.__struct_encode_fields__,
                repr(config.tag),
                str(config.array_like),
                str(config.omit_defaults),
            ]
            if config.omit_defaults:
                told += [repr(each) if type(each) in KEPT else type(each).__name__ for each in kind.__struct_defaults__]
        return f"{name}{{{', '.join(told)}}}"


def _hints(kind: type) -> dict[str, Any]:
    """Return the types of a class's fields, as far as they can be resolved."""
    if is_model(kind):
        return {name: field.annotation for name, field in kind.model_fields.items()}  # type: ignore[attr-defined]  # it is a model
    try:
        return get_type_hints(kind)
    except (NameError, TypeError, AttributeError):
        return {field.name: field.type for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else {}
