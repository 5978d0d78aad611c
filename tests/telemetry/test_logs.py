"""What is logged, with which fields, and how it is written."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
from pathlib import Path

import pytest

import cenote
from cenote import CacheManager, ClearFailedError
from cenote.errors import ConfigurationError
from cenote.telemetry.logs import FIELDS, FORMATS, JsonFormatter, TextFormatter, configure
from cenote.testing import FakeClock

SOURCES = sorted(Path(cenote.__file__).parent.rglob("*.py"))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def written():
    """A logger of its own, and what each formatter makes of its records."""
    logger = logging.Logger("books")  # noqa: LOG001  # not known to the others, or it would outlive the test
    streams = {}
    for name, formatter in FORMATS.items():
        streams[name] = io.StringIO()
        handler = logging.StreamHandler(streams[name])
        handler.setFormatter(formatter())
        logger.addHandler(handler)
    return logger, lambda name: streams[name].getvalue()


def records(caplog, logger="cenote.audit"):
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records if record.name == logger]


def test_a_record_is_one_json_object_on_one_line(written):
    logger, text = written
    logger.warning("two\nlines of %s", "books\u2028\ud800", extra={"cache": "books", "duration": 0.5, "reach": None})
    (line,) = text("json").splitlines()
    found = json.loads(line)
    assert TIME.fullmatch(found.pop("time"))
    assert found == {
        "level": "WARNING",
        "logger": "books",
        "message": "two\nlines of books\u2028\ud800",
        "cache": "books",
        "duration": 0.5,
    }


def test_a_record_is_one_line_for_people_with_fields_behind_the_message(written):
    logger, text = written
    logger.warning("two\nlines", extra={"cache": "books", "duration": 0.1234567891, "reason": 'a "b"', "actor": ""})
    time, _, rest = text("text").partition(" ")
    assert TIME.fullmatch(time)
    assert rest == 'WARNING books: two\\nlines cache=books duration=0.123457 reason="a \\"b\\"" actor=""\n'


def test_what_was_raised_is_in_the_object(written):
    logger, text = written
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("failed", stack_info=True)
    (line,) = text("json").splitlines()
    assert json.loads(line)["exception"].endswith("ZeroDivisionError: division by zero")
    assert "Stack (most recent call last)" in json.loads(line)["stack"]
    assert text("text").splitlines()[1] == "Traceback (most recent call last):"


def test_fields_that_json_has_no_form_for_are_written_as_text(written):
    logger, text = written
    logger.error("x", extra={"a": float("nan"), "b": {1}, "c": (1, None, b"x"), "level": 3, "time": "t", "d": True})
    found = json.loads(text("json"), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (found["a"], found["b"], found["c"], found["d"]) == ("nan", "{1}", [1, None, "b'x'"], True)
    assert (found["level"], found["level_"], found["time_"]) == ("ERROR", 3, "t")


def test_a_clear_is_logged_with_its_receipt_reach_and_duration(caches, caplog):
    caplog.set_level(logging.INFO, "cenote")
    cache = caches.service("books")
    cache.set("k", 1)
    result = cache.clear(reason="deploy 17", actor="ann")
    caches.clear_all(mode="soft")
    cache.clear(dry_run=True)
    cache.enabled = False
    one, all_of_them, switched = records(caplog)
    assert one.pop("time")
    assert one == {
        "level": "INFO",
        "logger": "cenote.audit",
        "message": "Successfully cleared cache for service: books",
        "action": "clear",
        "actor": "ann",
        "cache": "books",
        "clear_id": result.clear_id,
        "duration": result.duration,
        "entries": 1,
        "mode": "hard",
        "reach": "process",
        "reason": "deploy 17",
        "status": "success",
    }
    assert (all_of_them["action"], all_of_them["mode"], "cache" in all_of_them) == ("clear_all", "soft", False)
    assert (switched["action"], switched["cache"]) == ("switch", "books")


def test_a_clear_that_could_not_keep_its_promise_is_a_warning(tmp_path, caplog):
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o700)
    with CacheManager(f"memory://{directory}", clock=FakeClock()) as caches:
        caches.clear_all()
        (directory / "cenote.cenote").unlink()
        for _ in range(3):
            with pytest.raises(ClearFailedError):
                caches.global_cache.clear()
    # Whoever tries again at once has each error; the logs are not filled with it.
    (found,) = records(caplog)
    assert (found["level"], found["status"], found["reach"]) == ("WARNING", "error", "process")
    assert found["cache"] == "(global)"


def fields_in(source):
    """The names in what is given to ``extra``, there or by way of ``fields`` and ``self._fields``."""
    for node in ast.walk(ast.parse(source)):
        given = None
        if isinstance(node, ast.keyword) and node.arg == "extra":
            given = node.value
            if ast.unparse(given) in ("fields", "self._fields"):
                continue
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("fields", "self._fields"):
            given = node.value
        if isinstance(given, ast.Dict):
            yield from (key.value for key in given.keys)
        elif isinstance(node, ast.keyword) and given is not None:
            yield f"what is in {ast.unparse(given)}"


def test_every_field_that_a_record_is_given_is_documented_and_no_other():
    logging_modules = [text for path in SOURCES if "logging.getLogger" in (text := path.read_text())]
    assert {field for text in logging_modules for field in fields_in(text)} == set(FIELDS)


def test_what_cannot_be_read_from_a_shared_store_is_logged_with_its_cache(tmp_path, caplog):
    directory = tmp_path / "shared"
    directory.mkdir(mode=0o700)
    url = f"lmdb://{directory}"
    with CacheManager(url) as one:
        one.service("books").set("k", {"a": 1})
        with CacheManager(url) as other:
            other.service("books")._core.sharing._codec.decode = lambda *_: _unreadable()
            assert other.service("books").get("k") is None
    (found,) = records(caplog, "cenote")
    assert found["cache"] == "books"


def _unreadable():
    raise cenote.DecodeError("damaged")


def test_logging_is_set_up_in_one_place_and_in_a_format_that_there_is():
    with pytest.raises(ConfigurationError, match="text, json"):
        configure("xml")
    root, own = logging.getLogger(), logging.getLogger("cenote")
    before = list(root.handlers), root.level, own.level
    stream = io.StringIO()
    try:
        configure("json", stream)
        configure("text", stream)
        own.info("shown")
        logging.getLogger("other").info("not shown")
        logging.getLogger("other").warning("shown too")
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = before[0], before[1]
        own.setLevel(before[2])
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == [
        "INFO cenote: shown",
        "WARNING other: shown too",
    ]
    assert isinstance(TextFormatter(), logging.Formatter)
