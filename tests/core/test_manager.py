"""The manager: its caches, made once, cleared one by one or all at once, and closed."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

import cenote
from cenote import CacheManager, ClosedError, ConfigurationError, UnknownServiceError


def test_a_manager_has_a_global_cache_and_no_services(caches):
    assert caches.global_cache.name is None
    assert caches.services() == []
    assert (caches.backend, caches.level, caches.enabled) == ("memory", "process", True)


def test_the_same_name_and_options_are_the_same_cache(caches):
    cache = caches.service("etherforce", ttl=300, max_entries=10)
    assert caches.service("etherforce", ttl=300, max_entries=10) is cache
    assert caches.service("etherforce", ttl=300.0, max_entries=10) is cache
    assert caches.service("etherforce") is cache
    assert caches.find("etherforce") is cache


def test_other_options_for_a_name_are_refused_with_the_difference(caches):
    caches.service("etherforce", ttl=300)
    with pytest.raises(ConfigurationError, match=r"'etherforce' exists with other options: ttl=300.0, not 60.0$"):
        caches.service("etherforce", ttl=60)
    with pytest.raises(ConfigurationError, match="max_entries=10000, not 5"):
        caches.service("etherforce", ttl=300, max_entries=5)


@pytest.mark.parametrize(
    "name", ["", " ", "-a", ".a", "a b", "a/b", "ü", "a" * 65, "a\n", None, 5, b"a", ["a"]], ids=repr
)
def test_a_name_that_no_service_can_have_is_refused_with_the_rule(caches, name):
    with pytest.raises(ConfigurationError, match="1 to 64 letters, digits"):
        caches.service(name)
    assert caches.services() == []


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "9", "a" * 64])
def test_names_of_letters_digits_and_a_few_signs_are_fine(caches, name):
    assert caches.service(name).name == name


def test_services_are_listed_in_order(caches):
    for name in ["b", "a", "c"]:
        caches.service(name)
    assert caches.services() == ["a", "b", "c"]


def test_finding_never_makes_a_cache(caches):
    assert caches.find("etherforce") is None
    assert caches.find(None) is caches.global_cache
    assert caches.services() == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:",
        "memory://x",
        "memory:///",
        "memory://dir/x",
        "memory:///dir?a=1",
        "memory://?a=1",
        "ftp://",
        5,
        None,
        "[",
    ],
)
def test_a_url_that_names_no_backend_is_refused(url):
    with pytest.raises(ConfigurationError, match=r"url|memory://"):
        CacheManager(url)


def test_a_namespace_that_cannot_be_a_name_is_refused():
    with pytest.raises(ConfigurationError, match=r"^namespace must be 1 to 64 letters.*'a b'"):
        CacheManager(namespace="a b")


def test_clearing_one_service_leaves_the_others_and_the_global_cache(caches):
    for cache in (caches.global_cache, caches.service("a"), caches.service("b")):
        cache.set("k", 1)
    assert caches.clear("a").entries_cleared == 1
    assert [len(caches.find(name)) for name in (None, "a", "b")] == [1, 0, 1]
    assert caches.clear().message == "Successfully cleared global cache"
    assert [len(caches.find(name)) for name in (None, "a", "b")] == [0, 0, 1]


def test_clearing_a_service_that_there_is_not_names_those_there_are(caches):
    caches.service("b")
    caches.service("a")
    caches.service("a").set("k", 1)
    with pytest.raises(UnknownServiceError, match=r"^No cache for service: c\. Services: a, b$") as raised:
        caches.clear("c")
    assert (raised.value.service, raised.value.known) == ("c", ("a", "b"))
    assert caches.services() == ["a", "b"]
    assert len(caches.find("a")) == 1


def test_clearing_everything_counts_and_lists_over_all_caches(caches):
    for cache in (caches.global_cache, caches.service("a"), caches.service("b")):
        cache.set(f"k:{cache.name}", 1)
    result = caches.clear_all()
    assert result.entries_cleared == 3
    assert sorted(result.cleared_items) == ["k:None", "k:a", "k:b"]
    assert caches.stats().total_entries == 0


def test_clearing_everything_softly_marks_everything_stale(caches):
    for cache in (caches.global_cache, caches.service("a")):
        cache.set("k", 1)
    result = caches.clear_all(mode="soft")
    assert (result.entries_cleared, result.mode) == (2, "soft")
    assert caches.global_cache.explain("k").state == caches.find("a").explain("k").state == "stale"


def test_a_dry_run_over_everything_removes_nothing(caches):
    caches.service("a").set("k", 1)
    result = caches.clear_all(dry_run=True)
    assert (result.entries_cleared, result.cleared_items) == (1, ("k",))
    assert len(caches.find("a")) == 1


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_clearing_everything_is_one_step_for_readers(caches, at_every_line, mode):
    """Between any two lines of a clear_all a reader finds either all caches as they were or none."""
    names = [None, *(caches.service(name).name for name in ("one", "other"))]
    for name in names:
        caches.find(name).set("k", 1)
    found = at_every_line(
        lambda: caches.clear_all(mode=mode),
        lambda: {caches.find(name).get("k") for name in names},
    )
    assert all(values in ({1}, {None}) for values in found)
    assert found[0] == {1}
    assert found[-1] == {None}


def test_loads_in_every_cache_are_detached_by_clearing_everything(caches, gates, spawn):
    loads = []
    for cache in (caches.global_cache, caches.service("a")):
        gate = gates()
        loads.append((cache, gate, spawn(cache.get_or_load, "k", lambda gate=gate: gate.hold("old"))))
        gate.begun()
    caches.clear_all()
    for cache, gate, load in loads:
        gate.open()
        assert load.result() == "old"
        assert "k" not in cache


def test_statistics_are_those_of_every_cache_and_their_sums(caches):
    for name, hits in [("b", 2), ("a", 1)]:
        caches.service(name).set("k", 1)
        for _ in range(hits):
            caches.service(name).get("k")
        caches.service(name).get("none")
    stats = caches.stats()
    assert list(stats.services) == ["a", "b"]
    assert stats.services["b"].hits == 2
    assert (stats.total_hits, stats.total_misses, stats.total_entries) == (3, 2, 2)


def test_services_are_made_once_however_many_threads_ask(caches, spawn):
    start = threading.Barrier(8, timeout=20)

    def make():
        start.wait()
        return caches.service("etherforce", ttl=5)

    assert len({id(thread.result()) for thread in [spawn(make) for _ in range(8)]}) == 1


def test_leaving_the_block_closes_the_manager():
    with CacheManager() as caches:
        assert not caches.closed
    assert caches.closed


def test_a_manager_can_be_closed_twice(caches):
    caches.close()
    caches.close()


@pytest.mark.parametrize(
    "use",
    [
        lambda caches, cache: caches.service("etherforce"),
        lambda caches, cache: caches.service("new"),
        lambda caches, cache: caches.clear(),
        lambda caches, cache: caches.clear("etherforce"),
        lambda caches, cache: caches.clear_all(),
        lambda caches, cache: caches.stats(),
        lambda caches, cache: setattr(caches, "enabled", True),
        lambda caches, cache: cache.get("k"),
        lambda caches, cache: cache.set("k", 1),
        lambda caches, cache: cache.delete("k"),
        lambda caches, cache: cache.get_or_load("k", int),
        lambda caches, cache: cache.fill("k"),
        lambda caches, cache: cache.clear(),
        lambda caches, cache: cache.clear(dry_run=True),
        lambda caches, cache: cache.clear(prefix="k"),
        lambda caches, cache: cache.invalidate_tags("t"),
        lambda caches, cache: cache.keys(),
        lambda caches, cache: cache.entries(),
        lambda caches, cache: cache.explain("k"),
        lambda caches, cache: "k" in cache,
        lambda caches, cache: len(cache),
        lambda caches, cache: cache.stats(),
        lambda caches, cache: cache.get_many(["k"]),
        lambda caches, cache: cache.set_many({"k": 1}),
        lambda caches, cache: cache.get_or_load_many(["k"], dict),
        lambda caches, cache: cache.delete_many(["k"]),
        lambda caches, cache: cache.memoize()(lambda: 1),
    ],
)
def test_every_use_of_a_closed_manager_is_refused(caches, use):
    cache = caches.service("etherforce")
    cache.set("k", 1)
    caches.close()
    with pytest.raises(ClosedError):
        use(caches, cache)


def test_memoized_functions_go_on_without_a_cache_when_the_manager_is_closed(caches, cache):
    calls = []

    @cache.memoize()
    def f():
        calls.append(1)
        return len(calls)

    assert (f(), f()) == (1, 1)
    caches.close()
    assert (f(), f()) == (2, 3)


def test_a_load_that_ends_after_its_manager_was_closed_is_handed_out_and_not_stored(caches, cache, gate, spawn):
    load = spawn(cache.get_or_load, "k", lambda: gate.hold("value"))
    gate.begun()
    caches.close()
    gate.open()
    assert load.result() == "value"
    assert len(cache._core.state.store) == 0


def test_two_managers_know_nothing_of_each_other(caches):
    with CacheManager() as other:
        caches.service("a").set("k", 1)
        other.service("a").set("k", 2)
        other.clear_all()
        assert caches.service("a").get("k") == 1


def test_caches_say_what_they_are(caches, cache):
    cache.set("k", 1)
    assert repr(caches) == "<CacheManager memory:// with 1 services>"
    assert repr(cache) == "<Cache of cache for service: etherforce: 1 entries>"


def test_gevent_is_refused_in_a_sentence(monkeypatch):
    import sys
    from types import ModuleType

    monkey = ModuleType("gevent.monkey")
    monkey.is_module_patched = lambda name: True
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    with pytest.raises(ConfigurationError, match="gevent's patched threads are not supported"):
        CacheManager()


def test_the_package_says_its_version():
    assert cenote.__version__


def test_gevent_is_refused_at_import():
    code = (
        "import sys, types; monkey = types.ModuleType('gevent.monkey'); monkey.is_module_patched = lambda name: True; "
        "sys.modules['gevent.monkey'] = monkey; import cenote"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "gevent's patched threads are not supported" in done.stderr.splitlines()[-1]
