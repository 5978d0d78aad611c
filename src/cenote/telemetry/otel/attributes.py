"""The names of attributes, of spans and of their events."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTION",
    "CACHE",
    "CLEAR_ID",
    "CLEAR_SPAN",
    "ENTRIES",
    "ERROR_TYPE",
    "KEY",
    "KEYS",
    "LEVEL",
    "LOAD_SPAN",
    "LOAD_SPAN_ID",
    "LOAD_TRACE_ID",
    "MODE",
    "NAMESPACE",
    "OUTCOME",
    "RESULT",
    "WAITERS",
    "WAIT_DURATION",
    "WAIT_EVENT",
]

LOAD_SPAN: Final = "cache load"
CLEAR_SPAN: Final = "cache clear"
WAIT_EVENT: Final = "cache wait"

NAMESPACE: Final = "cenote.namespace"
CACHE: Final = "cenote.cache.name"
KEY: Final = "cenote.cache.key"
KEYS: Final = "cenote.load.keys"
OUTCOME: Final = "cenote.load.outcome"
WAITERS: Final = "cenote.load.waiters"
WAIT_DURATION: Final = "cenote.wait.duration"
LOAD_TRACE_ID: Final = "cenote.load.trace_id"
LOAD_SPAN_ID: Final = "cenote.load.span_id"
ACTION: Final = "cenote.clear.action"
CLEAR_ID: Final = "cenote.clear.id"
MODE: Final = "cenote.clear.mode"
LEVEL: Final = "cenote.clear.level"
RESULT: Final = "cenote.clear.result"
ENTRIES: Final = "cenote.clear.entries"
ERROR_TYPE: Final = "error.type"
