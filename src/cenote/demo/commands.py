"""Commands to paste into another terminal, one for each thing the HTTP contract offers."""

from __future__ import annotations

import json
import shlex

__all__ = ["curl_lines"]

_SHORT = 36


def curl_lines(url: str, key: str, *, token: bool) -> dict[str, list[str]]:
    """Return curl commands by what they do, each as lines that may be pasted as they are.

    Args:
        url: Where the server listens.
        key: An entry of ``workflow``.
        token: Whether the server wants one; commands then take it from CENOTE_TOKEN.
    """
    secret = ['  -H "Authorization: Bearer $CENOTE_TOKEN"'] if token else []

    def get(path: str) -> list[str]:
        return _joined([f"curl {url}{path}", *secret])

    def send(method: str, path: str, body: object) -> list[str]:
        data = shlex.quote(json.dumps(body))
        kind = "  -H 'Content-Type: application/json'"
        content = [f"{kind} -d {data}"] if len(data) < _SHORT else [kind, f"  -d {data}"]
        return _joined([f"curl -X {method} {url}{path}", *content, *secret])

    return {
        "clear a service": send("POST", "/api/system/cache/clear", {"serviceName": "etherforce"}),
        "clear the global cache": send("POST", "/api/system/cache/clear", {}),
        "invalidate an entry": send("DELETE", "/api/system/cache/invalidate", {"key": key, "serviceName": "workflow"}),
        "status": get("/api/system/cache/status"),
        "stats": get("/api/system/cache/stats"),
    }


def _joined(lines: list[str]) -> list[str]:
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
