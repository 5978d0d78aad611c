"""Commands that talk to one of several cache hosts which share a directory."""

from __future__ import annotations

import pytest


@pytest.fixture
def pair(host, tmp_path):
    return [host("--url", f"memory://{tmp_path}/shared") for _ in range(2)]


def test_status_lists_the_processes_in_80_columns(pair):
    one, other = pair
    other.put("dune", service="books")
    done = one("status")
    assert done.code == 0
    lines = [line.rstrip() for line in done.out.splitlines()]
    assert max(map(len, lines)) <= 80
    assert "level                  machine" in lines
    assert "processes              2" in lines
    pids = [str(each.running.process.pid) for each in pair]
    assert [line.split()[0] for line in lines[-2:]] == pids
    assert [line.split()[-1] for line in lines[-2:]] == ["0", "1"]


def test_clear_tells_how_many_processes_acknowledged(pair):
    one, other = pair
    other.put("dune", service="books")
    done = one("clear", "books")
    assert done.code == 0
    assert "1 entry gone · level machine, 2 of 2 processes · receipt" in done.out
    assert other("keys", "books").out == ""
    assert "level machine\n" in one("clear", "books", "--dry-run").out


def test_stats_are_the_same_whichever_host_answers(pair):
    one, other = pair
    other.put("dune", service="books")
    assert one("stats", "--json").json == other("stats", "--json").json
    assert one("stats", "books", "--json").json["statistics"]["currentSize"] == 1
