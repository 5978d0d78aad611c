"""An application with caches that are used all the time, for the page to show."""

from __future__ import annotations

import os
import random
import threading

from cenote import CacheManager

HOSTILE = '<img src="x" onerror="document.title = \'taken over\'">'
PAUSE = 0.01

caches = CacheManager(os.environ.get("SHOP_URL", "memory://"))
caches.global_cache.set(HOSTILE, 1, tags=[HOSTILE])
caches.global_cache.set("greeting", "hello")
never = threading.Event()


def weigh(value: object) -> int:
    return len(str(value))


def use(name: str, keys: int) -> None:
    cache = caches.service(name, ttl=300, max_entries=2000, weigher=weigh, max_bytes=1_000_000)
    chance = random.Random(name)

    @cache.memoize(name="lookup", tags=lambda number: [f"shelf:{number % 5}"])
    def lookup(number: int) -> str:
        never.wait(0.002)
        return "x" * 40

    def read() -> None:
        while not never.wait(PAUSE):
            lookup(min(int(chance.paretovariate(0.8)), keys))

    for number in range(1, 60):
        lookup(number)
    threading.Thread(target=read, daemon=True).start()


use("books", 400)
use("prices", 120)
