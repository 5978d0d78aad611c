"""Schemathesis drives a real server by the app's own schema."""

import subprocess
import sys

import pytest

from cenote import CacheManager

CONFIG = """
[generation]
database = "none"

# What follows is refused although each part of it is valid, and rightly: a body and a query that name different
# entries, a narrowed clear without a service where that would clear everything, the history of all caches and of one,
# a soft or narrowed clear with a refill, and a receipt that was used.
[[operations]]
include-operation-id = "invalidate_cache_entry_api_system_cache_invalidate_delete"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "clear_performance_cache_api_system_performance_clear_cache_post"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "clear_cache_api_system_cache_clear_post"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "preview_clear_api_system_cache_clear_preview_post"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "get_cache_history_api_system_cache_history_get"
checks.positive_data_acceptance.enabled = false

# A service and all of them is a 422.
[[operations]]
include-operation-id = "stop_cache_refill_api_system_cache_refill_delete"
checks.positive_data_acceptance.enabled = false

# Service names follow a rule that the manager knows, and a bad one is a 422.
[[operations]]
include-operation-id = "put_cache_entry_api_system_cache_entries__key__put"
checks.positive_data_acceptance.enabled = false
"""


@pytest.mark.parametrize("token", [None, "correct-horse"])
def test_no_check_of_schemathesis_fails(serve, tmp_path, token):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with CacheManager() as caches:
        caches.service("etherforce").set("cache_key_1", 1)
        live = serve(caches, stream_seconds=0.05, **({"token": token} if token else {}))
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{live.port}/openapi.json"),
            *("--max-examples", "20", "--seed", "1", "--no-color"),
            *(("--header", f"Authorization: Bearer {token}") if token else ()),
        ]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
