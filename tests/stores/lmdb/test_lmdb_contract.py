"""The contract of shared stores, run on the LMDB store and on a dict."""

from pathlib import Path

import pytest

from cenote.clock import Clock
from cenote.stores.lmdb import LmdbStore
from cenote.stores.lmdb_check import compare, verify
from cenote.stores.lmdb_env import TABLES
from cenote.stores.shared import SharedStore
from cenote.testing.contracts import SharedStoreContract
from cenote.testing.contracts.shared_store_model import DictSharedStore


class TestLmdbStore(SharedStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path):
        self.path = tmp_path
        self.made = []
        yield
        for store in self.made:
            store.sync()
            store.close()
        assert verify(tmp_path) is None

    def make_store(self, namespace: str, clock: Clock, max_bytes: int) -> SharedStore:
        store = LmdbStore(self.path, namespace, max_bytes=max_bytes, map_size=1 << 27, clock=clock)
        self.made = [*(kept for kept in self.made if kept._environment), store]
        return store

    def audit(self, store: LmdbStore) -> None:
        with store._reading() as (txn, tables):
            assert compare(txn, {name: getattr(tables, name) for name in TABLES}) is None


class TestDictSharedStore(SharedStoreContract):
    limited = False

    def make_store(self, namespace: str, clock: Clock, max_bytes: int) -> SharedStore:
        return DictSharedStore(clock)
