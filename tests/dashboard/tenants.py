"""An application with thousands of services."""

from __future__ import annotations

from cenote import CacheManager

caches = CacheManager()
for number in range(2000):
    caches.service(f"tenant-{number:04}", ttl=60).set("k", number)
