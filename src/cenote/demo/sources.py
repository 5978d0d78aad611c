"""The input of the demonstration: the sources of Python's standard library, found on every machine."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

from cenote.errors import ConfigurationError

__all__ = ["Library"]

_FEWEST = 10
_LARGEST = 150_000
_SKIPPED = {"antigravity", "idlelib", "lib2to3", "pydoc_data", "test", "this", "turtledemo"}


class Library:
    """The modules of the standard library that have a source file of a sensible size.

    Args:
        most: How many modules to take, evenly spread over the alphabet.

    Raises:
        ConfigurationError: This Python came without the sources of its library.
    """

    def __init__(self, most: int = 240) -> None:
        self.root = Path(sysconfig.get_path("stdlib"))
        found = self.scan()
        if len(found) < _FEWEST:
            raise ConfigurationError(
                f"the demo reads the sources of Python's own library, and there are none in {self.root}"
            )
        step = max(1.0, len(found) / most)
        names = sorted(found)
        self._paths = {name: found[name] for name in (names[int(i * step)] for i in range(min(most, len(names))))}

    def scan(self) -> dict[str, Path]:
        """Look through the library's folder and return the path of each module, by name."""
        paths: dict[str, Path] = {}
        for top in sorted(sys.stdlib_module_names - _SKIPPED):
            if top.startswith("_"):
                continue
            folder = self.root / top
            files = sorted(folder.glob("*.py")) if folder.is_dir() else [self.root / f"{top}.py"]
            for path in files:
                if path.is_file() and path.stat().st_size <= _LARGEST and path.stem != "__main__":
                    paths[_name(top, path)] = path
        return paths

    @property
    def names(self) -> list[str]:
        """The names of the modules, sorted."""
        return sorted(self._paths)

    def read(self, module: str) -> bytes:
        """Return the source of a module.

        Raises:
            LookupError: There is no such module.
        """
        return self._paths[module].read_bytes()

    def drop(self, module: str) -> None:
        """Leave a module out, because it does not parse."""
        self._paths.pop(module, None)


def _name(top: str, path: Path) -> str:
    if path.stem in {top, "__init__"}:
        return top
    return f"{top}.{path.stem}"
