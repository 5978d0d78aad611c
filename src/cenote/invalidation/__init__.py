"""Invalidation logs: who learns of a clear, and how far its promise reaches."""

from cenote.invalidation.log import InvalidationLog, Record, RecordKind
from cenote.invalidation.process import ProcessLog

__all__ = ["InvalidationLog", "ProcessLog", "Record", "RecordKind"]
