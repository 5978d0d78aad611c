"""Processes do everything to shared entries at once while some are killed, and the checker judges it all."""

from __future__ import annotations

from tests.machine.soak import soak


def test_no_read_of_entries_on_disk_is_stale_though_some_processes_are_killed():
    report = soak(12, processes=4, threads=4, scheme="lmdb")
    assert not report.failed, str(report)
    assert not report.violations, str(report)
    assert report.reads > 30_000, str(report)
    assert report.invalidations > 300, str(report)
    assert report.kills > 2, str(report)
