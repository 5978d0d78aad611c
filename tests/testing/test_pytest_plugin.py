"""The pytest fixtures, in runs of pytest of their own."""

from pathlib import Path

import pytest

import cenote

pytest_plugins = ["pytester"]

APP = """
from cenote import CacheManager

caches = CacheManager()
books = caches.service("books")
calls = []

@books.memoize()
def title(number):
    calls.append(number)
    return f"title {number}"
"""

TWO_TESTS = """
import pytest
import app

{mark}

@pytest.mark.parametrize("number", [1, 2])
def test_a_first_call_loads(number):
    app.caches.global_cache.set("k", number)
    before = len(app.calls)
    assert app.title(7) == "title 7"
    assert len(app.calls) == before + 1
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(cenote.__file__).parents[1]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(app=APP)

    def run_tests(source: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess("-p", "cenote.testing.pytest_plugin", "-q")

    return run_tests


def test_without_the_fixture_one_test_meets_the_values_of_another(run) -> None:
    run(TWO_TESTS.format(mark="")).assert_outcomes(passed=1, failed=1)


def test_cenote_isolated_clears_caches_of_modules_between_tests(run) -> None:
    mark = 'pytestmark = pytest.mark.usefixtures("cenote_isolated")'
    run(TWO_TESTS.format(mark=mark)).assert_outcomes(passed=2)


def test_cenote_isolated_leaves_nothing_behind_and_meets_nothing_from_before(run) -> None:
    source = """
    import app

    app.title(1)

    def test_nothing_from_before(cenote_isolated):
        assert len(app.books) == 0
        app.title(2)

    def test_nothing_behind():
        assert len(app.books) == 0
    """
    run(source).assert_outcomes(passed=2)


def test_cenote_caches_is_new_for_every_test_and_closed_after_it(run) -> None:
    source = """
    import pytest
    import cenote

    seen = []

    @pytest.mark.parametrize("number", [1, 2])
    def test_new(cenote_caches, number):
        assert cenote_caches.services() == []
        cenote_caches.service("books").set("k", number)
        seen.append(cenote_caches)

    def test_closed():
        assert seen[0] is not seen[1]
        for caches in seen:
            with pytest.raises(cenote.errors.ClosedError):
                caches.service("more")
    """
    run(source).assert_outcomes(passed=3)
