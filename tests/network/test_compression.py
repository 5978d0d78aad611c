"""Values compressed by some machines and not by others: they are read, or count as missing."""

from __future__ import annotations

import pytest
from tests.waiting import wait_until

from cenote import CacheManager, StoreFullError
from cenote.codecs import CompressingCodec, MsgpackCodec

TEXT = "sand and spice " * 1000
SMALL = "&max_value_bytes=5000"


def test_a_machine_reads_what_another_compressed_or_loads_and_says_why(site, caplog):
    codecs = {
        "zstd": CompressingCodec(MsgpackCodec()),
        "lz4": CompressingCodec(MsgpackCodec(), "lz4", threshold=1 << 20),
        "none": MsgpackCodec(),
    }

    def said():
        return [line for line in caplog.messages if line.startswith("k of shop")]

    managers = {name: CacheManager(site.url(name, query=SMALL), codec=codec) for name, codec in codecs.items()}
    try:
        caches = {name: manager.service("shop") for name, manager in managers.items()}
        for manager in managers.values():
            wait_until(lambda log=manager._log: log.holds_lease)
        caches["zstd"].set("k", TEXT)
        assert [caches["lz4"].get("k") for _ in range(3)] == [TEXT] * 3
        assert said() == []
        assert caches["none"].get("k") is None
        (line,) = set(said())
        assert "counts as missing" in line
        assert "compressed with zstd; wrap the codec in a CompressingCodec" in line
        assert caches["none"].get_or_load("k", lambda: "loaded") == "loaded"
        with pytest.raises(StoreFullError):
            caches["lz4"].set("k", TEXT)
    finally:
        for manager in managers.values():
            manager.close()
