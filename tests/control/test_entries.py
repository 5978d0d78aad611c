"""Entries over HTTP: invalidating, listing, reading, writing and removing."""

from urllib.parse import quote

import pytest

from cenote import CacheManager

API = "/api/system/cache"
ODD_KEYS = [
    "plain",
    "a/b/c",
    "/leading",
    "trailing/",
    "//",
    "a//b",
    "with space",
    " ",
    "ünïcödé 日本 🏞",
    "line\nend",
    "ends in line\n",
    "tab\tand\rreturn",
    "nul\x00byte",
    "100%",
    "a%2Fb",
    "%00",
    "a?b=c&d",
    "a#b",
    "a;b",
    "a+b",
    'quote"s and \\ back',
    "analyse('ch-1', depth=2)",
    "a.b",
    "…",
    "\ufffd",
    "x" * 3000,
    "invalidate",
    "events/stream",
]


def path_of(key: str) -> str:
    return f"{API}/entries/{quote(key, safe='')}"


def invalidate(http, **arguments):
    return http.request("DELETE", f"{API}/invalidate", **arguments)


class TestInvalidate:
    def test_it_answers_every_field_of_the_contract(self, http, caches):
        caches.service("workflow").set("workflow:123:result", 1)
        answer = invalidate(http, json={"key": "workflow:123:result", "serviceName": "workflow"})
        assert answer.status_code == 200
        assert answer.json() == {"success": True, "key": "workflow:123:result", "found": True}
        again = invalidate(http, json={"key": "workflow:123:result", "serviceName": "workflow"})
        assert again.json() == {"success": True, "key": "workflow:123:result", "found": False}

    @pytest.mark.parametrize("name", ["serviceName", "service_name"])
    def test_the_query_does_what_the_body_does_where_proxies_drop_bodies(self, http, caches, name):
        cache = caches.service("workflow")
        cache.set("k", 1)
        answer = invalidate(http, params={"key": "k", name: "workflow"})
        assert answer.json() == {"success": True, "key": "k", "found": True}
        assert "k" not in cache

    def test_without_a_service_it_is_the_global_cache(self, http, caches):
        caches.global_cache.set("k", 1)
        caches.service("workflow").set("k", 1)
        assert invalidate(http, json={"key": "k"}).json()["found"] is True
        assert ("k" in caches.global_cache, "k" in caches.service("workflow")) == (False, True)

    def test_body_and_query_that_agree_are_one_request(self, http, caches):
        caches.service("workflow").set("k", 1)
        names = {"key": "k", "serviceName": "workflow"}
        assert invalidate(http, params=names, json=names).json()["found"] is True

    @pytest.mark.parametrize(
        "params", [{"key": "other"}, {"key": "k"}, {"serviceName": "other"}, {"key": "k", "serviceName": "other"}]
    )
    def test_body_and_query_that_differ_are_refused(self, http, caches, params):
        caches.service("workflow").set("k", 1)
        answer = invalidate(http, params=params, json={"key": "k", "serviceName": "workflow"})
        assert answer.status_code == 422
        assert "k" in caches.service("workflow")

    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"json": {}},
            {"json": {"key": ""}},
            {"json": {"key": 1}},
            {"json": {"key": "k", "service": "workflow"}},
            {"params": {"key": ""}},
            {"params": {"serviceName": "workflow"}},
            {"params": {"key": "k", "servicename": "workflow"}},
            {"params": {"key": "k", "serviceName": "a", "service_name": "b"}},
        ],
    )
    def test_an_incomplete_or_misspelt_request_is_a_422_and_removes_nothing(self, http, caches, arguments):
        caches.global_cache.set("k", 1)
        answer = invalidate(http, **arguments)
        assert answer.status_code == 422
        assert answer.json()["detail"][0].keys() == {"loc", "msg", "type", "input", "ctx"}
        assert "k" in caches.global_cache

    def test_an_unknown_service_has_nothing_found_and_is_not_created(self, http, caches):
        answer = invalidate(http, json={"key": "k", "serviceName": "nobody"})
        assert answer.status_code == 200
        assert answer.json() == {"success": False, "key": "k", "found": False}
        assert "nobody" not in caches.services()

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_it_hits_exactly_the_entry_of_that_name(self, http, caches, key):
        cache = caches.service("odd")
        cache.set(key, 1)
        cache.set(key + "!", 1)
        assert invalidate(http, json={"key": key, "serviceName": "odd"}).json()["found"] is True
        assert cache.keys() == [key + "!"]


class TestSingleEntries:
    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_a_key_of_any_characters_is_written_read_and_removed(self, http, caches, key):
        where = {"params": {"serviceName": "odd"}}
        stored = http.put(path_of(key), json={"value": {"for": key}}, **where)
        assert stored.json() == {"success": True, "key": key, "serviceName": "odd"}
        assert caches.service("odd").keys() == [key]
        read = http.get(path_of(key), **where).json()
        assert (read["key"], read["value"], read["serviceName"]) == (key, {"for": key}, "odd")
        gone = http.delete(path_of(key), **where)
        assert gone.json() == {"success": True, "key": key, "found": True}
        assert len(caches.service("odd")) == 0

    @pytest.mark.parametrize("key", [".", "..", "../../clear", "a/../b", "./x"])
    def test_keys_that_clients_take_for_relative_paths_travel_in_the_query(self, http, caches, key):
        where = {"params": {"serviceName": "odd", "key": key}}
        assert http.put(f"{API}/entries/", json={"value": 1}, **where).json()["success"] is True
        assert caches.service("odd").keys() == [key]
        assert http.get(f"{API}/entries/", **where).json()["value"] == 1
        assert http.delete(f"{API}/entries/", **where).json()["found"] is True

    def test_slashes_may_stand_as_they_are(self, http, caches):
        http.put(f"{API}/entries/a/b//c/", json={"value": 1})
        assert caches.global_cache.keys() == ["a/b//c/"]

    def test_dots_sent_as_they_are_stay_in_the_key(self, live):
        request = f"PUT {API}/entries/../x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        body = b'{"value": 1}'
        head = f"{request}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        assert b" 200 " in live.raw(head.encode() + body)[:20]
        assert live.caches.global_cache.keys() == ["../x"]

    @pytest.mark.parametrize(
        "value", [None, True, 0, -1.5, "", "text", [], {}, [1, [2, {"a": None}]], {"": {"é": "日本"}}, 10**30]
    )
    def test_any_json_value_comes_back_as_it_was(self, http, value):
        http.put(path_of("k"), json={"value": value})
        answer = http.get(path_of("k")).json()
        assert (answer["value"], answer["isJson"]) == (value, True)

    def test_a_put_creates_the_services_cache(self, http, caches):
        assert "fresh-service" not in caches.services()
        http.put(path_of("k"), params={"serviceName": "fresh-service"}, json={"value": 1})
        assert "fresh-service" in caches.services()

    @pytest.mark.parametrize("name", ["", " ", "a b", "a/b", "a\nb", "x" * 500])
    def test_a_bad_service_name_is_a_422_that_states_the_rule(self, http, caches, name):
        answer = http.put(path_of("k"), params={"serviceName": name}, json={"value": 1})
        assert answer.status_code == 422
        error = answer.json()["detail"][0]
        assert error["loc"] == ["query", "serviceName"]
        assert "name" in error["msg"]
        assert name not in caches.services()

    def test_ttl_and_tags_are_kept(self, http, caches):
        http.put(path_of("k"), json={"value": 1, "ttl": 60, "tags": ["b", "a"]})
        info = caches.global_cache.explain("k")
        assert info.tags == ("a", "b")
        assert info.expires_in == pytest.approx(60, abs=5)
        read = http.get(path_of("k")).json()
        assert read["tags"] == ["a", "b"]
        assert read["expiresIn"] == pytest.approx(60, abs=5)

    def test_a_null_ttl_is_for_ever_and_an_absent_one_is_the_caches_own(self, http, caches):
        cache = caches.service("timed", ttl=30)
        http.put(path_of("ever"), params={"serviceName": "timed"}, json={"value": 1, "ttl": None})
        http.put(path_of("own"), params={"serviceName": "timed"}, json={"value": 1})
        assert cache.explain("ever").expires_in is None
        assert cache.explain("own").expires_in == pytest.approx(30, abs=5)

    @pytest.mark.parametrize(
        ("content", "field"),
        [
            ("{}", "value"),
            ('{"value": 1, "ttl": 0}', "ttl"),
            ('{"value": 1, "ttl": -1}', "ttl"),
            ('{"value": 1, "ttl": "60"}', "ttl"),
            ('{"value": 1, "ttl": NaN}', "ttl"),
            ('{"value": 1, "ttl": 1e999}', "ttl"),
            ('{"value": NaN}', "value"),
            ('{"value": [Infinity]}', "value"),
            ('{"value": "\\ud800"}', "value"),
            ('{"value": 1, "tags": "a"}', "tags"),
            ('{"value": 1, "tags": [""]}', "tags"),
            ('{"value": 1, "tag": ["a"]}', "tag"),
        ],
    )
    def test_a_bad_write_is_a_422_that_names_the_field_and_stores_nothing(self, http, caches, content, field):
        answer = http.put(path_of("k"), content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][:2] == ["body", field]
        assert len(caches.global_cache) == 0

    def test_a_missing_entry_or_service_is_a_404(self, http, caches):
        assert http.get(path_of("k")).status_code == 404
        for method in ("GET", "DELETE"):
            answer = http.request(method, path_of("k"), params={"serviceName": "nobody"})
            assert answer.status_code == 404
            assert "nobody" in answer.json()["detail"]
        assert "nobody" not in caches.services()

    def test_an_empty_key_is_a_422(self, http):
        assert http.get(f"{API}/entries/").status_code == 422
        assert http.put(f"{API}/entries/", json={"value": 1}).status_code == 422

    def test_a_path_that_is_not_utf_8_is_a_422_and_not_another_key(self, http, caches):
        caches.global_cache.set("\ufffd", 1)
        assert http.delete(f"{API}/entries/%FF").status_code == 422
        assert "\ufffd" in caches.global_cache

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("DELETE", "/invalidate?key=%FF"),
            ("DELETE", "/entries/?key=%FF"),
            ("GET", "/entries/%FF?key=%EF%BF%BD"),
            ("DELETE", "/entries/%FF?key=%EF%BF%BD"),
        ],
    )
    def test_a_text_that_is_not_utf_8_never_names_another_entry(self, http, caches, method, path):
        caches.global_cache.set("\ufffd", 1)
        answer = http.request(method, API + path)
        assert answer.status_code == 422
        assert "\ufffd" in caches.global_cache

    def test_a_value_that_json_cannot_hold_is_named_by_type_only(self, http, caches):
        class Secret:
            def __repr__(self):
                return "hunter2"

        caches.global_cache.set("k", Secret())
        answer = http.get(path_of("k"))
        assert (answer.json()["value"], answer.json()["isJson"]) == (None, False)
        assert answer.json()["valueType"] == "Secret"
        assert "hunter2" not in answer.text

    def test_a_put_where_caching_is_off_says_that_nothing_was_kept(self, serve):
        with CacheManager() as caches:
            live = serve(caches)
            caches.enabled = False
            assert live.client.put(path_of("k"), json={"value": 1}).json()["success"] is False


class TestListing:
    def test_it_is_paged_by_cursor_and_complete(self, http, caches):
        keys = [f"k{number:03}" for number in range(25)] + ODD_KEYS
        caches.service("list").set_many(dict.fromkeys(keys, 1))
        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            params = {"serviceName": "list", "limit": 10} | ({"cursor": cursor} if cursor else {})
            page = http.get(f"{API}/entries", params=params).json()
            assert len(page["entries"]) <= 10
            seen += [entry["key"] for entry in page["entries"]]
            cursor = page["cursor"]
            pages += 1
        assert sorted(seen) == sorted(keys)
        assert len(seen) == len(set(seen))

    def test_prefix_and_tag_narrow_it(self, http, caches):
        cache = caches.service("list")
        cache.set("a1", 1, tags=["x"])
        cache.set("a2", 1)
        cache.set("b1", 1, tags=["x"])
        listed = lambda **params: [  # noqa: E731 - a short query helper
            entry["key"]
            for entry in http.get(f"{API}/entries", params={"serviceName": "list", **params}).json()["entries"]
        ]
        assert listed(prefix="a") == ["a1", "a2"]
        assert listed(tag="x") == ["a1", "b1"]
        assert listed(prefix="a", tag="x") == ["a1"]

    def test_every_listed_identifier_can_be_handed_back(self, http, caches):
        caches.service("list").set_many(dict.fromkeys(ODD_KEYS, 1))
        listed = http.get(f"{API}/entries", params={"serviceName": "list"}).json()["entries"]
        for entry in listed:
            answer = invalidate(http, json={"key": entry["key"], "serviceName": "list"})
            assert answer.json()["found"] is True
        assert len(caches.service("list")) == 0

    def test_it_shows_no_values(self, http, caches):
        caches.global_cache.set("k", "hunter2")
        assert "hunter2" not in http.get(f"{API}/entries").text

    @pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 1001}, {"limit": "x"}, {"tags": "x"}])
    def test_bad_parameters_are_a_422(self, http, params):
        assert http.get(f"{API}/entries", params=params).status_code == 422

    def test_an_unknown_service_is_a_404(self, http):
        assert http.get(f"{API}/entries", params={"serviceName": "nobody"}).status_code == 404


class TestAmbiguity:
    def test_a_query_name_that_stands_twice_is_a_422_and_removes_nothing(self, http, caches):
        caches.service("a").set("k", 1)
        caches.service("b").set("k", 1)
        for path in (path_of("k") + "?serviceName=a&serviceName=b", f"{API}/invalidate?key=x&key=k&serviceName=b"):
            answer = http.delete(path)
            assert answer.status_code == 422
            assert "twice" in answer.text
        assert "k" in caches.service("a")
        assert "k" in caches.service("b")

    def test_a_value_that_names_a_member_twice_is_a_422_because_one_of_them_would_be_lost(self, http, caches):
        content = b'{"value": {"secret": 1, "secret": 2}}'
        answer = http.put(path_of("k"), content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert "secret" not in answer.text
        assert "k" not in caches.global_cache
