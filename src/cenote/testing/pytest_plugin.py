"""Fixtures that keep one test's cached values out of the next one.

pytest finds them by the entry point ``cenote`` of the group ``pytest11``; without it, name the module in
``pytest_plugins``. To isolate a whole module of tests::

    pytestmark = pytest.mark.usefixtures("cenote_isolated")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cenote.manager import CacheManager

__all__ = ["cenote_caches", "cenote_isolated"]


def _clear_live_managers() -> None:
    # pytest loads plugins before coverage measures: import as late as possible.
    from cenote.manager import live_managers  # noqa: PLC0415

    for manager in live_managers():
        result = manager.clear_all(reason="test isolation")
        if result.status != "success":
            pytest.fail(f"the caches could not be cleared: {result.message}")


@pytest.fixture
def cenote_caches() -> Iterator[CacheManager]:
    """A new CacheManager in memory, closed after the test."""
    from cenote.manager import CacheManager  # noqa: PLC0415

    with CacheManager() as caches:
        yield caches


@pytest.fixture
def cenote_isolated() -> Iterator[None]:
    """Every open manager is cleared before the test and after it, those of modules included."""
    _clear_live_managers()
    yield
    _clear_live_managers()
