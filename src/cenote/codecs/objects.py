"""Objects taken apart and put together: dataclasses, Structs, pydantic models, named tuples and enums.

Putting together runs no code of the class, except a Struct's ``__post_init__``.
"""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec

from cenote.errors import EncodeError

__all__ = ["build", "fields_of", "is_kept", "is_model", "state_of"]


def is_model(kind: type) -> bool:
    """Whether a class is a pydantic model; pydantic is not imported to find out, its models have done so."""
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and issubclass(kind, base)


def fields_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of a class's fields, or None when it is not made of fields."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if is_model(kind):
        return tuple(kind.model_fields)  # type: ignore[attr-defined]  # it is a model
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        return names if isinstance(names, tuple) else None
    return None


def is_kept(kind: type) -> bool:
    """Whether the fields of a class, or the members of an enum, are all there is to its instances."""
    if issubclass(kind, Enum):
        return True
    names = fields_of(kind)
    if names is None:
        return False
    if issubclass(kind, msgspec.Struct | tuple) or is_model(kind):
        return True
    try:
        object.__new__(kind)
    except TypeError:  # abstract, or built on a dict or another type with contents of its own
        return False
    slots: set[str] = set()
    for each in kind.__mro__:
        own = vars(each).get("__slots__", ())
        slots.update([own] if isinstance(own, str) else own)
    return slots <= {*names, "__dict__", "__weakref__"}


def state_of(value: Any) -> Any:
    """Take an object apart.

    Args:
        value: An instance of a class that ``is_kept`` accepts.

    Returns:
        What ``build`` makes an equal one of: a dict of fields, or a list.

    Raises:
        EncodeError: It carries attributes that are no fields, which would be lost.
    """
    kind = type(value)
    if isinstance(value, Enum):
        name = value.name
        # A combination of flags is no member.
        return [name] if kind.__members__.get(name) is value else [None, value.value]
    if isinstance(value, tuple):
        _no_more_than((), value)
        return list(value)
    if is_model(kind):
        kept = {name: item for name, item in vars(value).items() if name in kind.model_fields}
        _no_more_than(kept, value)
        # The order of a set differs from process to process; that of the fields does not.
        given = [name for name in kept if name in value.model_fields_set]
        given += sorted(value.model_fields_set.difference(given))
        return [kept, given, value.__pydantic_extra__, value.__pydantic_private__]
    names = fields_of(kind) or ()
    state = {name: getattr(value, name) for name in names if _has(value, name)}
    _no_more_than(state, value)
    return state


def build(kind: Any, state: Any) -> Any:
    """Put an object together from its state; any exception means that the state is not one of this class."""
    if issubclass(kind, Enum):
        return kind[state[0]] if len(state) == 1 else kind(state[1])
    if issubclass(kind, tuple):
        if len(state) != len(kind._fields):
            raise ValueError("the number of fields differs")
        return tuple.__new__(kind, state)
    if issubclass(kind, msgspec.Struct):
        made = kind(**state)
        for name, item in state.items():
            msgspec.structs.force_setattr(made, name, item)
        return made
    made = object.__new__(kind)
    if is_model(kind):
        kept, given, extra, private = state
        object.__setattr__(made, "__dict__", kept)
        object.__setattr__(made, "__pydantic_fields_set__", set(given))
        object.__setattr__(made, "__pydantic_extra__", extra)
        object.__setattr__(made, "__pydantic_private__", private)
        return made
    for name, item in state.items():
        object.__setattr__(made, name, item)
    return made


def _has(value: Any, name: str) -> bool:
    """Whether a field was set on this very object; a default on the class is not stored."""
    own = getattr(value, "__dict__", None)
    if own is not None and name in own:
        return True
    return hasattr(type(value), "__slots__") and hasattr(value, name)


def _no_more_than(fields: Any, value: Any) -> None:
    """Refuse attributes that are neither fields nor cached properties, which are computed again."""
    kind = type(value)
    for name in getattr(value, "__dict__", ()):
        if name not in fields and not isinstance(getattr(kind, name, None), cached_property):
            raise EncodeError(
                f"the attribute {name!r} of a {kind.__qualname__} is no field and would be lost; make it a field"
            )
