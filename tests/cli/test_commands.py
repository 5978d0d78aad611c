"""Each command against a real server: what it prints, what it changes, how it ends."""

from __future__ import annotations

import json

import pytest


def test_status_tells_how_many_entries_there_are(served):
    done = served("status", "--json")
    assert done.code == 0
    status = done.json
    assert [each["entries"] for each in status.pop("processes")] == [5]
    assert status == {
        "enabled": True,
        "backend": "memory",
        "globalCacheSize": 1,
        "serviceCacheCount": 2,
        "totalEntries": 5,
        "level": "process",
    }
    assert done.err == ""


def test_status_reads_well_in_80_columns_and_without_colours(served):
    done = served("status")
    assert done.code == 0
    assert "backend" in done.out
    assert "memory" in done.out
    assert "\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_stats_show_every_cache_and_the_totals(served):
    answer = served("stats", "--json").json
    assert answer["serviceCaches"]["workflow"]["currentSize"] == 3
    assert answer["globalCache"]["currentSize"] == 1
    assert answer["totals"]["totalEntries"] == 5
    table = served("stats")
    assert table.code == 0
    assert "workflow" in table.out
    assert "total: 5 entries" in table.out
    assert max(map(len, table.out.splitlines())) <= 80


def test_stats_of_one_service_show_all_its_figures(served):
    assert served("stats", "workflow", "--json").json["statistics"]["currentSize"] == 3
    done = served("stats", "workflow")
    assert done.code == 0
    assert "hit rate" in done.out


def test_stats_of_an_unknown_service_end_with_not_found(served):
    done = served("stats", "nobody", "--json")
    assert done.code == 4
    assert done.json["found"] is False
    assert done.json["exitCode"] == 4
    assert "nobody" in done.err


def test_clear_empties_the_named_cache_alone(served):
    done = served("clear", "workflow", "--json", "--reason", "new edition")
    assert done.code == 0
    assert done.json["entriesCleared"] == 3
    assert sorted(done.json["clearedItems"]) == ["report:0", "report:1", "report:2"]
    assert served("status", "--json").json["totalEntries"] == 2
    (event,) = served("events", "--json").json["events"]
    assert (event["action"], event["serviceName"], event["reason"]) == ("clear", "workflow", "new edition")


def test_clear_says_in_words_what_went_and_the_level_reached(served):
    done = served("clear", "workflow")
    assert done.code == 0
    assert "Successfully cleared cache for service: workflow" in done.out
    assert "3 entries gone" in done.out
    assert "level process" in done.out
    assert "report:1" in done.out


def test_clear_global_leaves_the_services_alone(served):
    assert served("clear", "--global", "--json").json["entriesCleared"] == 1
    assert served("status", "--json").json["totalEntries"] == 4


def test_clear_all_with_yes_empties_everything(served):
    done = served("clear", "--all", "--yes", "--json")
    assert (done.code, done.json["entriesCleared"]) == (0, 5)
    assert served("status", "--json").json["totalEntries"] == 0


def test_clear_by_prefix_and_by_tag_takes_only_those_entries(served):
    assert served("clear", "workflow", "--prefix", "report:2", "--json").json["clearedItems"] == ["report:2"]
    assert served("clear", "workflow", "--tag", "module:0", "--json").json["clearedItems"] == ["report:0"]
    assert served("keys", "workflow").out == "report:1\n"


def test_a_dry_run_removes_nothing_and_does_not_ask(served):
    assert served("clear", "workflow", "--dry-run", "--json").json["entriesCleared"] == 3
    assert "would go" in served("clear", "--all", "--dry-run").out
    assert served("status", "--json").json["totalEntries"] == 5


def test_a_soft_clear_is_recorded_as_soft(served):
    assert served("clear", "workflow", "--soft", "--json").code == 0
    (event,) = served("events", "--json").json["events"]
    assert event["mode"] == "soft"


def test_clear_of_an_unknown_service_clears_nothing_and_names_the_services(served):
    done = served("clear", "workfolw", "--json")
    assert done.code == 4
    assert done.json["status"] == "error"
    assert "workflow" in done.err
    assert served("status", "--json").json["totalEntries"] == 5


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--json",),
        ("--prefix", "a"),
        ("workflow", "--all"),
        ("workflow", "--global"),
        ("--global", "--all"),
        ("--all",),
        ("--all", "--yes", "--prefix", "a"),
    ],
)
def test_clear_without_one_clear_target_is_wrong_usage_and_clears_nothing(served, arguments):
    done = served("clear", *arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Error" in done.err
    assert served("status", "--json").json["totalEntries"] == 5


def test_invalidate_removes_one_entry_and_says_whether_it_was_there(served):
    assert served("invalidate", "report:1", "--service", "workflow", "--json").json["found"] is True
    again = served("invalidate", "report:1", "--service", "workflow")
    assert again.code == 0
    assert again.out == "Not in the cache for service workflow: report:1\n"
    assert served("invalidate", "table").out == "Invalidated table\n"
    assert served("invalidate", "table").out == "Not in the global cache: table\n"


def test_invalidate_in_an_unknown_service_ends_with_not_found(served):
    assert served("invalidate", "report:1", "--service", "nobody").code == 4


def test_every_listed_key_can_be_handed_back_to_invalidate(served):
    key = "a/b c?d=1&e#f%41\\'\"é"
    served.put("a%2Fb%20c%3Fd%3D1%26e%23f%2541%5C'%22%C3%A9", service="odd")
    assert served("keys", "--service", "odd", "--json").json["keys"] == [key]
    assert served("invalidate", key, "--service", "odd", "--json").json["found"] is True


def test_keys_go_on_over_pages_up_to_the_limit(served):
    for number in range(7):
        served.put(f"k{number}", service="many")
    assert served("keys", "many").out.split() == [f"k{number}" for number in range(7)]
    some = served("keys", "many", "--limit", "3")
    assert some.out.split() == ["k0", "k1", "k2"]
    assert "--limit" in some.err
    answer = served("keys", "many", "--limit", "3", "--json").json
    assert (len(answer["keys"]), answer["complete"]) == (3, False)


def test_keys_are_filtered_by_prefix_and_by_tag(served):
    assert served("keys", "workflow", "--prefix", "report:1").out == "report:1\n"
    assert served("keys", "workflow", "--tag", "module:2").out == "report:2\n"
    assert served("keys", "--global").out == "table\n"


def test_keys_of_an_unknown_service_end_with_not_found(served):
    done = served("keys", "nobody")
    assert (done.code, done.out) == (4, "")


def test_a_key_cannot_steer_the_terminal(served):
    served.put("%1B%5B2J%0Anext", service="odd")
    assert served("keys", "odd").out == "\\x1b[2J\\nnext\n"
    assert served("keys", "odd", "--json").json["keys"] == ["\x1b[2J\nnext"]


def test_events_are_one_line_each(served):
    served("clear", "workflow", "--reason", "new edition")
    served("invalidate", "table")
    clear, invalidate = served("events").out.splitlines()
    assert "clear  workflow  3 entries" in clear
    assert '"new edition"' in clear
    assert "invalidate  (global)  table" in invalidate


def test_events_follow_shows_what_happens_until_ctrl_c(served, start):
    import signal

    following = start("events", "--follow", "--json", env={"CENOTE_SERVER": served.url})
    assert "following" in following.line(error=True)
    served("clear", "workflow")
    served("invalidate", "table")
    assert following.document()["action"] == "clear"
    assert following.document()["key"] == "table"
    done = following.end(signal.SIGINT)
    assert done.code == 130
    assert "Traceback" not in done.err


def test_json_is_one_document_and_nothing_else_on_standard_output(served):
    for arguments in (
        ("status",),
        ("stats",),
        ("stats", "workflow"),
        ("clear", "workflow"),
        ("clear", "--all", "--yes"),
        ("invalidate", "table"),
        ("keys",),
        ("events",),
    ):
        done = served(*arguments, "--json")
        assert done.code == 0, arguments
        assert len(done.out.splitlines()) == 1
        assert isinstance(json.loads(done.out), dict)
        assert done.err == ""
