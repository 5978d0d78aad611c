"""The clock of leases counts while the machine is suspended, or there are no leases."""

from __future__ import annotations

import time

import pytest

from cenote import CacheManager, ConfigurationError, wiring
from cenote.clock import clock_that_counts_suspension, lease_clock


def test_each_system_has_a_clock_that_counts_suspension_or_none_that_is_known():
    assert clock_that_counts_suspension("linux") == time.CLOCK_BOOTTIME
    assert clock_that_counts_suspension("darwin") == time.CLOCK_MONOTONIC
    assert clock_that_counts_suspension("freebsd14") is None


def test_leases_go_by_that_clock():
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= lease_clock() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_without_such_a_clock_there_are_no_leases(monkeypatch):
    monkeypatch.setattr(wiring, "may_lease", False)
    with pytest.raises(ConfigurationError, match="validate=always"):
        CacheManager("redis://127.0.0.1:1/0")
