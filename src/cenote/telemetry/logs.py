"""Logs: records of Python's logging as lines for people, or as one JSON object a line."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from cenote.errors import ConfigurationError

__all__ = ["FIELDS", "FORMATS", "JsonFormatter", "TextFormatter", "configure"]

FIELDS: Final = (
    "action",
    "actor",
    "cache",
    "clear_id",
    "duration",
    "entries",
    "key",
    "member",
    "mode",
    "reach",
    "reason",
    "status",
)
"""What Cenote's own records may carry beside their message."""

_STANDARD: Final = frozenset({*vars(logging.makeLogRecord({})), "asctime", "message", "color_message"})
_TAKEN: Final = frozenset({"exception", "level", "logger", "message", "stack", "time"})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record carries beside what every record has; None means nothing."""
    found = {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
    return {f"{name}_" if name in _TAKEN else name: value for name, value in found.items()}


class JsonFormatter(logging.Formatter):
    """A formatter that writes each record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record: time in UTC, level, logger and message, then its fields, then what was raised."""
        written: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        written |= {name: _plain(value) for name, value in _fields_of(record).items()}
        if record.exc_info:
            written["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            written["stack"] = self.formatStack(record.stack_info)
        return json.dumps(written)


def _plain(value: object) -> object:
    """Return what JSON has a form for: the value, or its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value)


class TextFormatter(logging.Formatter):
    """A formatter that writes each record as one line for people, and below it what was raised."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record: time in UTC, level, logger and message, then its fields as name=value."""
        words = [_time_of(record), record.levelname, f"{record.name}:", _printable(record.getMessage())]
        words += [f"{name}={_word(value)}" for name, value in _fields_of(record).items()]
        lines = [" ".join(words)]
        if record.exc_info:
            lines.append(self.formatException(record.exc_info))
        if record.stack_info:
            lines.append(self.formatStack(record.stack_info))
        return "\n".join(lines)


def _printable(text: str) -> str:
    """Return a text without what could pass for another line."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def _word(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return json.dumps(text) if not text or re.search(r"[\s\"=]", text) else _printable(text)


FORMATS: Final = {"text": TextFormatter, "json": JsonFormatter}
"""The formatters by the names that settings give them."""


def configure(log_format: str, stream: TextIO | None = None) -> None:
    """Have everything that this process logs written to one stream, in one format, in the place of other handlers.

    Cenote's records are written from INFO on, those of others from WARNING on; warnings are records too.

    Args:
        log_format: "text" or "json".
        stream: Where to; standard error when not given.

    Raises:
        ConfigurationError: There is no such format.
    """
    if log_format not in FORMATS:
        raise ConfigurationError(f"the format of logs must be one of {', '.join(FORMATS)}, not {log_format!r}")
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(FORMATS[log_format]())
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("cenote").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
