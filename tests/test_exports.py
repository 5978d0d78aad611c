"""The public names: sorted, described, and clear about what they need."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import cenote
from cenote.codecs import CompressingCodec, PickleCodec

LIBRARY = Path(cenote.__file__).parent
EVERY = [module.name for module in pkgutil.walk_packages(cenote.__path__, "cenote.")]
WRAPPED = "from cenote.codecs import CompressingCodec, PickleCodec; CompressingCodec(PickleCodec('a key of 16 bytes')"
MODULES = ["cenote", *(name for name in EVERY if "._" not in name)]


def public(module: ModuleType) -> list[tuple[str, Any]]:
    """The classes and functions that a module offers."""
    offered = [(name, getattr(module, name)) for name in module.__all__]
    return [(name, thing) for name, thing in offered if inspect.isclass(thing) or inspect.isfunction(thing)]


def rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as ruff sorts them."""
    if len(name) > 1 and name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name


def says_what_it_is(thing: object) -> bool:
    """Whether the docstring begins with a sentence of its own."""
    first = (inspect.getdoc(thing) or "").split("\n\n")[0].strip()
    return first.endswith((".", ":")) and len(first.split()) > 1


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_its_public_names_sorted_and_once(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__all__ == sorted(set(module.__all__), key=rank)
    assert [listed for listed in module.__all__ if not hasattr(module, listed)] == []


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_defines_without_listing_it_begins_with_an_underscore(name: str) -> None:
    module = importlib.import_module(name)
    own = {
        attribute
        for attribute, value in vars(module).items()
        if isinstance(value, type | FunctionType) and value.__module__ == name and not attribute.startswith("_")
    }
    assert own - set(module.__all__) == set()


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_says_in_its_first_sentence_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    assert says_what_it_is(module), f"{name} has no docstring"
    assert [listed for listed, thing in public(module) if not says_what_it_is(thing)] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_public_method_says_what_it_does(name: str) -> None:
    """A method that implements a port has the port's docstring."""
    silent = []
    for listed, thing in public(importlib.import_module(name)):
        if not inspect.isclass(thing):
            continue
        for attribute, member in vars(thing).items():
            callable_or_property = inspect.isroutine(member) or isinstance(member, property)
            own = getattr(member, "__module__", name) == name
            # The cases of a contract suite are tests: their names say what they demand.
            offered = callable_or_property and own and not attribute.startswith(("_", "test_"))
            if offered and not says_what_it_is(getattr(thing, attribute)):
                silent.append(f"{listed}.{attribute}")
    assert silent == []


def without_packages(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Runs code with the library and the standard library, and with nothing that was installed."""
    (tmp_path / "cenote").symlink_to(LIBRARY)
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", start + code], capture_output=True, text=True, check=False
    )


def test_the_core_needs_nothing_but_python(tmp_path: Path) -> None:
    done = without_packages(tmp_path, "import cenote; print(sorted(cenote.__all__) != [])")
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import cenote.control", "server"),
        ("import cenote.integrations.fastapi", "server"),
        ("from cenote.cli import main; main()", "cli"),
        (f"{WRAPPED}, 'zstd')", "zstd"),
        (f"{WRAPPED}, 'lz4')", "lz4"),
    ],
)
def test_a_missing_extra_names_the_command_that_installs_it(tmp_path: Path, code: str, extra: str) -> None:
    done = without_packages(tmp_path, code)
    assert done.returncode != 0
    assert f'pip install "cenote[{extra}]"' in done.stderr


def test_compression_with_zlib_needs_nothing_and_what_another_algorithm_wrote_is_refused_with_the_command(
    tmp_path: Path,
) -> None:
    data = CompressingCodec(PickleCodec("a key of 16 bytes")).encode("sand" * 500)
    done = without_packages(
        tmp_path, f"{WRAPPED.replace('; ', '; codec = ')}, 'zlib'); codec.encode(1); codec.decode({data!r})"
    )
    assert done.stderr.splitlines()[-1].startswith("cenote.errors.DecodeError")
    assert 'pip install "cenote[zstd]"' in done.stderr


def test_the_command_line_without_its_packages_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    done = without_packages(tmp_path, "from cenote.cli import main; main()")
    assert done.stderr.count("\n") == 1
