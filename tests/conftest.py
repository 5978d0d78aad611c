"""Which tests run, and in which order, wherever they are."""

from __future__ import annotations

import functools
import os
import tempfile

import pytest
from tests.mounts import MountingError, mounted_in_memory


@functools.cache
def may_mount():
    """Whether file systems can be mounted here, as whoever is root may, but for most containers."""
    with tempfile.TemporaryDirectory() as point:
        try:
            with mounted_in_memory(point, "size=1m"):
                return True
        except MountingError:
            return False


def is_possible(item):
    """Whether a test can run here."""
    names = {mark.name for mark in item.iter_markers()}
    return ("root" not in names or os.geteuid() == 0) and ("mounts" not in names or may_mount())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leave out what cannot run here, which fails where tests must be whole; have soaks run first, the network last.

    Soaks leave no processor to what has to answer in time.
    """
    if not os.environ.get("CI"):
        left = [item for item in items if not is_possible(item)]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    items.sort(key=lambda item: 0 if item.path.name == "test_soak.py" else 1 + (item.path.parent.name == "network"))
