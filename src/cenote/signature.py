"""Signatures: how a memoized function's parameters become a key, and the wrapper generated for them.

One wrapper is generated for each signature, as ``dataclasses`` generates ``__init__``: a hit then costs a comparison or
two for each argument, one dict lookup and the checks of the entry, with no ``*args`` and no second call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from inspect import Parameter
from typing import Any, Final

from cenote.bypass import bypassed, bypasses
from cenote.clock import lease_clock
from cenote.core import CacheCore
from cenote.entry import FOREVER, GONE
from cenote.errors import ConfigurationError, UnhashableArgumentError
from cenote.keys import CallKeys, part, parts
from cenote.tables import GIL, Slot

__all__ = ["Shape"]

_VARIADIC: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

_WRAPPER: Final = """\
{async_}def wrapper({parameters}):
    {nonlocal_}
    if _cn_bypasses.open and _cn_bypassed():
        return {await_}_cn_func({forward})
    {key}
    _cn_state = _cn_root.states[{index}]
    try:
        _cn_entry = {abreast}_cn_state.tables[{slot}][_cn_key]
    except _cn_key_error:
        _cn_entry = None
    except _cn_type_error as _cn_error:
        raise _cn_unhashable(({key_tuple})) from _cn_error
    if _cn_entry is not None and _cn_entry.birth >= _cn_state.soft_floor:
        _cn_until = _cn_entry.fresh_until
        if {endless}_cn_now() < _cn_until:
            _cn_value = _cn_entry.value
            if _cn_value is not _cn_gone:
                {touch}
                {count}
                return {value}
    return {await_}_cn_miss(_cn_key, ({positional}), {{{named}}})
"""

# Names in the wrapper's own globals are cheaper than cells, which every call copies; only the count must be a cell.
_MAKER: Final = """\
def make():
    _cn_hits = 0.0
{wrapper}
    return wrapper
"""


class Shape:
    """The parameters of one function, and which of them count.

    Attributes:
        signature: The function's signature.
        keys: How its calls become keys and identifiers.
    """

    def __init__(
        self, func: Callable[..., Any], name: str, *, ignore: Iterable[str], key: Callable[..., Any] | None
    ) -> None:
        """Look at a function.

        Args:
            func: The function.
            name: What its identifiers begin with.
            ignore: Parameters that are not part of the key.
            key: Makes the key from the arguments instead.

        Raises:
            ConfigurationError: ``ignore`` names a parameter that there is not, or the signature is not known.
        """
        try:
            self.signature = inspect.signature(func)
        except ValueError as error:
            raise ConfigurationError(f"{name} cannot be memoized: its signature is not known ({error})") from None
        self._func = func
        self._name = name
        self._keyfunc = key
        parameters = list(self.signature.parameters.values())
        ignored = set((ignore,) if isinstance(ignore, str) else ignore)
        unknown = ignored - {parameter.name for parameter in parameters}
        if unknown:
            raise ConfigurationError(f"ignore names {', '.join(sorted(unknown))}, but {name} has no such parameter")
        counted = [parameter for parameter in parameters if parameter.name not in ignored]
        self._counted = counted
        variadic = key is None and any(parameter.kind in _VARIADIC for parameter in counted)
        shown = [p.name for p in counted if p.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
        named = [p.name for p in counted if p.kind is Parameter.KEYWORD_ONLY]
        if key is not None:
            shown, named = ["key"], []
        single = not variadic and len(shown) + len(named) == 1
        self.keys = CallKeys(name, shown, named, variadic=variadic, single=single)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the key of a call, as the generated wrapper makes it; TypeError when the call does not fit."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = bound.arguments
        if self._keyfunc is not None:
            key = part(self._keyfunc(*bound.args, **bound.kwargs))
            items: tuple[tuple[str, Any], ...] = (("key", key),)
        elif self.keys.variadic:
            key = self._variadic(values)
            items = (("arguments", key),)
        else:
            items = tuple([(parameter.name, values[parameter.name]) for parameter in self._counted])
            made = parts(*[value for _, value in items])
            key = made[0] if self.keys.single else made
        try:
            hash(key)
        except TypeError as error:
            raise self._unhashable(items) from error
        return key

    def _variadic(self, values: dict[str, Any]) -> Any:
        shown: list[Any] = []
        named: dict[str, Any] = {}
        for parameter in self._counted:
            value = values[parameter.name]
            if parameter.kind is Parameter.VAR_POSITIONAL:
                shown.extend(value)
            elif parameter.kind is Parameter.VAR_KEYWORD:
                named.update(value)
            elif parameter.kind is Parameter.KEYWORD_ONLY:
                named[parameter.name] = value
            else:
                shown.append(value)
        return (parts(*shown), tuple(sorted((name, part(value)) for name, value in named.items())))

    def wrapper(
        self, core: CacheCore, slot: Slot, miss: Callable[..., Any], *, is_async: bool, endless: bool
    ) -> tuple[Callable[..., Any], Callable[[], float]]:
        """Generate the wrapper.

        Args:
            core: The cache.
            slot: The function's table.
            miss: Called with key, positional and named arguments when a hit is not possible.
            is_async: Whether the function is a coroutine function.
            endless: Whether most entries have no end, so that a hit should look for that before it reads the clock.

        Returns:
            The wrapper, and a function that reads its count of hits.
        """
        source = _MAKER.format(wrapper=_indent(self._source(core, slot, is_async=is_async, endless=endless)))
        parameters = self.signature.parameters.values()

        def count() -> None:
            with core.lock:
                slot.hits += 1.0

        space: dict[str, Any] = {
            "_cn_bypassed": bypassed,
            "_cn_bytes": bytes,
            "_cn_copy": core.treatment.hand_out,
            "_cn_count": count,
            "_cn_defaults": {p.name: p.default for p in parameters if p.default is not Parameter.empty},
            "_cn_forever": FOREVER,
            "_cn_func": self._func,
            "_cn_gone": GONE,
            "_cn_int": int,
            "_cn_key_error": KeyError,
            "_cn_lease_clock": lease_clock,
            "_cn_keyfunc": self._keyfunc if self._keyfunc is not None else self._call_key,
            "_cn_miss": miss,
            "_cn_now": core.now,
            "_cn_part": part,
            "_cn_parts": parts,
            "_cn_root": core.root,
            "_cn_str": str,
            "_cn_bypasses": bypasses,
            "_cn_type": type,
            "_cn_type_error": TypeError,
            "_cn_unhashable": self._unhashable,
        }
        exec(compile(source, f"<cenote wrapper of {self._name}>", "exec"), space)  # noqa: S102  # built from the
        # signature's own identifiers and fixed text only
        wrapper = space.pop("make")()
        return wrapper, _cell_reader(wrapper) if GIL else float

    def _call_key(self, *args: Any, **kwargs: Any) -> Any:
        return self.bind(args, kwargs)

    def _source(self, core: CacheCore, slot: Slot, *, is_async: bool, endless: bool) -> str:
        parameters = list(self.signature.parameters.values())
        policy = core.state.store.policy
        touch = "pass"
        if core.state.touch is not None:
            touch = "_cn_state.touch(_cn_entry)"
        elif policy is not None and policy.touch_cap:
            touch = f"if _cn_entry.freq < {policy.touch_cap}: _cn_entry.freq += 1"
        positional = [_forward(p) for p in parameters if p.kind not in (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD)]
        named = [f"{p.name!r}: {p.name}" for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
        named += [f"**{p.name}" for p in parameters if p.kind is Parameter.VAR_KEYWORD]
        forward = [_forward(p) for p in parameters]
        key, key_tuple = self._key_source(forward)
        return _WRAPPER.format(
            async_="async " if is_async else "",
            await_="await " if is_async else "",
            nonlocal_="nonlocal _cn_hits" if GIL else "pass",
            parameters=_parameter_list(parameters),
            forward=", ".join(forward),
            key=key,
            key_tuple=key_tuple,
            index=core.index,
            slot=slot.index,
            # The head before the lookup: what is written later is of calls that had not returned when this one began.
            abreast=_abreast(core),
            endless="_cn_until is _cn_forever or " if endless else "",
            touch=touch,
            # Exact under the GIL: no thread switch falls between this load and store. See tests/core/test_stats.py.
            count="_cn_hits += 1.0" if GIL else "_cn_count()",
            value="_cn_value" if core.treatment.hand_out is None else "_cn_copy(_cn_value)",
            positional=_tuple(positional),
            named=", ".join(named),
        )

    def _key_source(self, forward: list[str]) -> tuple[str, str]:
        """The statement that makes the key, and the items to look through for one that is not hashable."""
        if self._keyfunc is not None:
            return f"_cn_key = _cn_part(_cn_keyfunc({', '.join(forward)}))", "('key', _cn_key),"
        if self.keys.variadic:
            return f"_cn_key = _cn_keyfunc({', '.join(forward)})", "('arguments', _cn_key),"
        names = [parameter.name for parameter in self._counted]
        items = "".join(f"({name!r}, {name})," for name in names)
        if not names:
            return "_cn_key = ()", ""
        tests = [_plain_test(parameter) for parameter in self._counted]
        if self.keys.single:
            name = names[0]
            return f"_cn_key = {name} if {tests[0]} else _cn_part({name})", items
        joined = ", ".join(names)
        return f"_cn_key = ({joined}) if {' and '.join(tests)} else _cn_parts({joined})", items

    def _unhashable(self, items: tuple[tuple[str, Any], ...]) -> Exception:
        """Name the argument that is not hashable."""
        for name, value in items:
            try:
                hash(value)
            except TypeError as error:
                what = f"argument {name!r}" if name not in ("key", "arguments") else f"the {name}"
                return UnhashableArgumentError(
                    f"{what} of {self._name} cannot be part of a key: {error}; leave it out with ignore= or make "
                    "the key with key="
                )
        return UnhashableArgumentError(f"the arguments of {self._name} cannot be compared with those of another call")


def _abreast(core: CacheCore) -> str:
    """The test whether a State has obeyed all that it must have, in front of the lookup."""
    if core.log.word is None:
        return ""
    lapsed = " or _cn_lease_clock() >= _cn_state.until" if core.leased else ""
    return f"None if _cn_state.word[0] != _cn_state.applied{lapsed} else "


def _cell_reader(wrapper: Any) -> Callable[[], float]:
    """Return what reads the wrapper's count of hits, its only cell, without keeping the wrapper alive."""
    (cell,) = wrapper.__closure__

    def read() -> float:
        return float(cell.cell_contents)

    return read


def _plain_test(parameter: Parameter) -> str:
    """The test whether an argument is a key as it is; the annotation says which type to try first."""
    name = parameter.name
    annotation = parameter.annotation
    likely = annotation.__name__ if annotation in (int, str, bytes) else annotation
    if likely in ("int", "str", "bytes"):
        return f"_cn_type({name}) is _cn_{likely}"
    return f"((_cn_t := _cn_type({name})) is _cn_str or _cn_t is _cn_int)"


def _forward(parameter: Parameter) -> str:
    if parameter.kind is Parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is Parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    if parameter.kind is Parameter.KEYWORD_ONLY:
        return f"{parameter.name}={parameter.name}"
    return parameter.name


def _tuple(items: list[str]) -> str:
    return "".join(f"{item}, " for item in items)


def _parameter_list(parameters: list[Parameter]) -> str:
    written: list[str] = []
    slash = star = False
    for parameter in parameters:
        kind = parameter.kind
        if slash and kind is not Parameter.POSITIONAL_ONLY:
            written.append("/")
            slash = False
        if kind is Parameter.POSITIONAL_ONLY:
            slash = True
        if kind is Parameter.KEYWORD_ONLY and not star:
            written.append("*")
            star = True
        if kind is Parameter.VAR_POSITIONAL:
            star = True
        text = _forward(parameter) if kind in _VARIADIC else parameter.name
        if parameter.default is not Parameter.empty:
            text += f"=_cn_defaults[{parameter.name!r}]"
        written.append(text)
    if slash:
        written.append("/")
    return ", ".join(written)


def _indent(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
