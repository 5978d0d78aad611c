"""Contract suites: what every implementation of a port must pass; they need pytest and hypothesis."""

from cenote.testing.contracts.codec import CodecContract
from cenote.testing.contracts.log import LogContract
from cenote.testing.contracts.shared_store import SharedStoreContract
from cenote.testing.contracts.store import StoreContract

__all__ = ["CodecContract", "LogContract", "SharedStoreContract", "StoreContract"]
