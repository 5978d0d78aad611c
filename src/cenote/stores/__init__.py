"""Stores: where entries live."""

from cenote.stores.memory import MemoryStore
from cenote.stores.store import Store

__all__ = ["MemoryStore", "Store"]
