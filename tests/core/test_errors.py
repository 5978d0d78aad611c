"""Errors: one tree, and messages that say what to do."""

from __future__ import annotations

import inspect
import pickle

import pytest

import cenote
from cenote import errors


def every_error():
    return [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]


def test_every_error_has_one_root_and_is_exported():
    for error in every_error():
        assert issubclass(error, cenote.CenoteError)
        assert getattr(cenote, error.__name__) is error
    assert sorted(errors.__all__) == sorted(error.__name__ for error in every_error())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (cenote.ConfigurationError, ValueError),
        (cenote.MissingExtraError, ImportError),
        (cenote.InvalidKeyError, ValueError),
        (cenote.UnhashableArgumentError, TypeError),
        (cenote.UnknownServiceError, LookupError),
        (cenote.ClosedError, RuntimeError),
        (cenote.ReentrantError, cenote.ClearFailedError),
        (cenote.LoadTimeoutError, TimeoutError),
        (cenote.RecursiveLoadError, RecursionError),
    ],
)
def test_an_error_can_be_caught_as_the_kind_that_python_has_for_it(error, kind):
    assert issubclass(error, kind)


def test_a_missing_extra_names_the_command_that_installs_it():
    error = cenote.MissingExtraError("the control plane", "control")
    assert 'pip install "cenote[control]"' in str(error)


def test_an_unknown_service_lists_at_most_twenty_others():
    error = cenote.UnknownServiceError("x", [f"s{number}" for number in range(25)])
    assert str(error).endswith("s19 and 5 more")
    assert str(cenote.UnknownServiceError("x", [])) == "No cache for service: x. Services: none yet"


@pytest.mark.parametrize(
    "error",
    [
        cenote.UnknownServiceError("x", ["a", "b"]),
        cenote.LoadTimeoutError("k", 2.5),
        cenote.RecursiveLoadError("k"),
        cenote.ReentrantError("clear"),
        cenote.MissingExtraError("the dashboard", "dashboard"),
        cenote.ConfigurationError("ttl"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_survives_being_sent_to_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
