"""Who may call, from where, with how much; and what errors never say."""

import asyncio
import json
import logging

import pytest

from cenote import CacheManager

CLEAR = "/api/system/cache/clear"
JSON = {"content-type": "application/json"}
TOKEN = "correct-horse-battery-staple"


def head(path=CLEAR, method="POST", host="localhost", **headers):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


class TestHost:
    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.1:8338", "[::1]", "[::1]:1"])
    def test_the_loopback_names_are_allowed_on_any_port(self, http, host):
        assert http.post(CLEAR, json={}, headers={"host": host}).status_code == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "localhost.evil.example", "evil.example:8338", "127.0.0.1.nip.io", "127.0.0.2", "[::2]", ""],
    )
    def test_any_other_name_is_refused_so_that_dns_rebinding_fails(self, http, caches, host):
        caches.global_cache.set("k", 1)
        for method, path in (("POST", CLEAR), ("GET", "/api/system/cache/status"), ("GET", "/metrics")):
            answer = http.request(method, path, json={} if method == "POST" else None, headers={"host": host})
            assert answer.status_code == 403
            assert "CENOTE_ALLOWED_HOSTS" in answer.json()["detail"]
        assert "k" in caches.global_cache

    def test_a_request_without_a_host_is_refused(self, live):
        assert status(live.raw(b"GET /metrics HTTP/1.0\r\n\r\n")) == 403

    def test_configured_names_are_allowed(self, serve):
        with CacheManager() as caches:
            live = serve(caches, allowed_hosts=("cache.example",))
            assert live.client.get("/metrics", headers={"host": "Cache.Example:80"}).status_code == 200
            assert live.client.get("/metrics", headers={"host": "example"}).status_code == 403

    def test_probes_may_use_any_name(self, http):
        for path in ("/healthz", "/readyz"):
            assert http.get(path, headers={"host": "10.0.0.7:8338"}).status_code == 200


class TestOrigin:
    @pytest.mark.parametrize(
        "origin",
        ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "http://localhost.evil.example", ""],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
    def test_pages_of_other_origins_are_refused_whatever_they_do(self, live, caches, origin, method):
        caches.global_cache.set("k", 1)
        path = {
            "POST": CLEAR,
            "PUT": "/api/system/cache/entries/k",
            "DELETE": "/api/system/cache/entries/k",
            "GET": "/api/system/cache/events/stream",
        }[method]
        content = None if method in {"GET", "DELETE"} else b'{"value": 2}' if method == "PUT" else b"{}"
        answer = live.client.request(method, path, content=content, headers=JSON | {"origin": origin})
        assert answer.status_code == 403
        assert caches.global_cache.get("k") == 1

    def test_the_own_page_is_allowed(self, live):
        origin = f"http://127.0.0.1:{live.port}"
        assert live.client.post(CLEAR, json={}, headers={"origin": origin}).status_code == 200

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_requests_that_a_browser_marks_as_foreign_are_refused_without_an_origin_too(self, http, site):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert http.post(CLEAR, json={}, headers=headers).status_code == 403
        assert http.get("/api/system/cache/events/stream", headers=headers).status_code == 403

    def test_a_link_from_elsewhere_may_be_followed(self, http):
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert http.get("/api/system/cache/status", headers=headers).status_code == 200

    def test_a_configured_origin_may_call_and_read(self, serve):
        origin = "https://ops.example:8443"
        with CacheManager() as caches:
            live = serve(caches, allowed_origins=(origin,))
            ask = {"origin": origin, "access-control-request-method": "POST"}
            preflight = live.client.options(CLEAR, headers=ask)
            assert preflight.status_code == 204
            assert preflight.headers["access-control-allow-origin"] == origin
            answer = live.client.post(CLEAR, json={}, headers={"origin": origin})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
            other = live.client.options(CLEAR, headers=ask | {"origin": "https://evil.example"})
            assert other.status_code == 403
            assert "access-control-allow-origin" not in other.headers


class TestToken:
    @pytest.fixture
    def guarded(self, serve):
        with CacheManager() as caches:
            yield serve(caches, token=TOKEN)

    @pytest.mark.parametrize(
        "given",
        [None, "", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xff"],
    )
    def test_without_the_token_every_operation_is_a_401_that_says_how(self, guarded, given):
        del guarded.client.headers["authorization"]
        headers = {} if given is None else {"authorization": given.encode("latin-1")}
        guarded.caches.global_cache.set("k", 1)
        for method, path in (
            ("POST", CLEAR),
            ("GET", "/api/system/cache/status"),
            ("DELETE", "/api/system/cache/entries/k"),
            ("GET", "/api/system/cache/events/stream"),
            ("GET", "/metrics"),
            ("GET", "/nowhere"),
        ):
            answer = guarded.client.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert TOKEN not in answer.text
        assert "k" in guarded.caches.global_cache

    def test_with_the_token_it_works_and_the_audit_names_it_without_telling_it(self, guarded):
        assert guarded.client.post(CLEAR, json={}).status_code == 200
        event = guarded.client.get("/api/system/cache/events").json()["events"][-1]
        assert event["actor"] == "token@127.0.0.1"

    def test_probes_and_the_schema_need_none(self, guarded):
        del guarded.client.headers["authorization"]
        for path in ("/healthz", "/readyz", "/openapi.json"):
            assert guarded.client.get(path).status_code == 200

    def test_the_token_is_compared_in_constant_time(self, monkeypatch):
        from cenote.control import Settings, sessions

        compared = []
        monkeypatch.setattr(sessions.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or False)
        known = sessions.Sessions(Settings(token=TOKEN, viewer_token="another"))
        assert known.caller({b"authorization": b"Bearer guess"}) is None
        assert compared == [(b"guess", TOKEN.encode()), (b"guess", b"another")]


class TestPeer:
    @staticmethod
    async def ask(app, client, headers=()):
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/system/cache/status",
            "raw_path": b"/api/system/cache/status",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), *headers],
            "client": client,
            "server": ("0.0.0.0", 80),
        }
        await app(scope, receive, send)
        return sent[0]["status"]

    @pytest.mark.parametrize(
        ("client", "expected"),
        [
            (("127.0.0.1", 1), 200),
            (("::1", 1), 200),
            (("::ffff:127.0.0.1", 1), 200),
            (None, 200),
            (("10.0.0.9", 1), 403),
            (("::ffff:10.0.0.9", 1), 403),
            (("nonsense", 1), 403),
        ],
    )
    async def test_without_a_token_only_this_machine_is_served_however_the_app_was_bound(self, client, expected):
        from cenote.control import Settings, create_app

        with CacheManager() as caches:
            assert await self.ask(create_app(caches, Settings()), client) == expected
            with_token = create_app(caches, Settings(token=TOKEN))
            bearer = [(b"authorization", f"Bearer {TOKEN}".encode())]
            assert await self.ask(with_token, client, bearer) == 200

    def test_without_a_token_forwarded_requests_are_refused(self, http):
        for name, value in (("x-forwarded-for", "203.0.113.5"), ("forwarded", "for=203.0.113.5")):
            assert http.get("/api/system/cache/status", headers={name: value}).status_code == 403


class TestBody:
    @pytest.mark.parametrize(
        "kind",
        [
            None,
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
        ],
    )
    def test_a_write_that_is_not_sent_as_json_is_a_415(self, http, caches, kind):
        caches.global_cache.set("k", 1)
        headers = {} if kind is None else {"content-type": kind}
        for method, path in (
            ("POST", CLEAR),
            ("PUT", "/api/system/cache/entries/k"),
            ("DELETE", "/api/system/cache/invalidate"),
        ):
            answer = http.request(method, path, content=b'{"key": "k"}', headers=headers)
            assert answer.status_code == 415
            assert "application/json" in answer.json()["detail"]
        assert "k" in caches.global_cache

    def test_json_with_a_charset_is_json(self, http):
        headers = {"content-type": "Application/JSON; charset=utf-8"}
        assert http.post(CLEAR, content=b"{}", headers=headers).status_code == 200

    @pytest.fixture
    def tight(self, serve):
        with CacheManager() as caches:
            yield serve(caches, max_body_bytes=100)

    def test_a_declared_length_above_the_limit_is_a_413_before_anything_is_read(self, tight):
        answer = tight.raw(head(content_type="application/json", content_length=10**12))
        assert status(answer) == 413
        assert b"100 bytes" in answer

    def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(self, tight):
        for length, expected in ((100, 200), (101, 413)):
            content = b"{}".ljust(length)
            assert tight.client.post(CLEAR, content=content, headers=JSON).status_code == expected

    def test_a_chunked_body_is_bounded_while_it_is_read(self, tight):
        start = head(content_type="application/json", transfer_encoding="chunked")
        # The terminating chunk never comes: the answer must not wait for it.
        answer = tight.raw(start + chunked(b"{" + b" " * 59, b" " * 60))
        assert status(answer) == 413

    def test_a_chunked_body_within_the_limit_is_served(self, tight):
        start = head(content_type="application/json", transfer_encoding="chunked")
        assert status(tight.raw(start + chunked(b"{", b"}", b""))) == 200

    def test_a_get_with_a_long_body_is_bounded_too(self, tight):
        path = "/api/system/cache/status"
        assert status(tight.raw(head(path, "GET", content_length=10**9))) == 413


class TestUndeclaredBody:
    @staticmethod
    async def ask(app, parts, kind):
        sent = []
        left = list(parts)
        headers = [(b"host", b"localhost")] + ([] if kind is None else [(b"content-type", kind)])

        async def receive():
            part = left.pop(0) if left else b""
            return {"type": "http.request", "body": part, "more_body": bool(left)}

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "2",
            "method": "POST",
            "scheme": "http",
            "path": "/api/system/performance/clear-cache",
            "raw_path": b"/api/system/performance/clear-cache",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await app(scope, receive, send)
        return sent[0]["status"], len(left)

    @pytest.mark.parametrize(
        ("parts", "kind", "expected"),
        [
            ([b"{", b"}"], b"application/json", 200),
            ([], None, 200),
            ([b"{", b"}"], b"text/plain", 415),
            ([b"{", b"}"], None, 415),
        ],
    )
    async def test_the_body_of_http_2_is_checked_though_no_header_declares_it(self, parts, kind, expected):
        from cenote.control import Settings, create_app

        with CacheManager() as caches:
            assert (await self.ask(create_app(caches, Settings()), parts, kind))[0] == expected

    async def test_the_body_of_http_2_is_bounded_while_it_is_read(self):
        from cenote.control import Settings, create_app

        with CacheManager() as caches:
            app = create_app(caches, Settings(max_body_bytes=100))
            status, unread = await self.ask(app, [b" " * 60] * 50, b"application/json")
        assert (status, unread) == (413, 48)

    async def test_a_body_that_never_comes_is_given_up(self, monkeypatch):
        from cenote.control import Settings, create_app

        monkeypatch.setattr("cenote.control.security.BODY_SECONDS", 0.05)
        sent = []

        async def receive():
            await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"5")]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": CLEAR,
            "raw_path": CLEAR.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
        }
        with CacheManager() as caches:
            await create_app(caches, Settings())(scope, receive, send)
        assert sent[0]["status"] == 408
        assert (b"connection", b"close") in sent[0]["headers"]


class TestErrors:
    def test_a_refused_field_is_not_repeated(self, http):
        answer = http.post(CLEAR, json={"password": "hunter2", "serviceName": None})
        assert answer.status_code == 422
        assert "hunter2" not in answer.text

    @pytest.mark.parametrize("field", ["ttl", "tags"])
    def test_the_value_of_a_refused_write_is_not_repeated(self, http, field):
        body = {"value": "hunter2", field: "wrong"}
        answer = http.put("/api/system/cache/entries/k", json=body)
        assert answer.status_code == 422
        assert "hunter2" not in answer.text

    @pytest.mark.parametrize("body", ["hunter2", ["hunter2"], 1234567])
    def test_a_value_sent_bare_in_place_of_a_body_is_not_repeated(self, http, body):
        answer = http.put("/api/system/cache/entries/k", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["input"] is None
        assert "hunter2" not in answer.text

    def test_long_inputs_names_and_lists_of_errors_are_cut(self, http):
        body = {f"{number}{'x' * 1000}": "y" * 1000 for number in range(200)} | {"mode": "m" * 5000}
        answer = http.post(CLEAR, json=body)
        assert answer.status_code == 422
        assert len(answer.content) < 20_000
        assert len(answer.json()["detail"]) <= 20

    def test_text_that_cannot_be_encoded_is_refused_without_a_500(self, http):
        answer = http.post(CLEAR, content=b'{"serviceName": "\\ud800"}', headers=JSON)
        assert answer.status_code == 422

    def test_an_unexpected_failure_is_a_500_without_any_detail(self, serve, monkeypatch, caplog):
        with CacheManager() as caches:
            live = serve(caches)

            def fail(*_args, **_kwargs):
                raise ZeroDivisionError("hunter2")

            monkeypatch.setattr(type(caches), "clear", fail)
            monkeypatch.setattr(type(caches), "stats", fail)
            with caplog.at_level(logging.CRITICAL, "cenote.control"):
                for answer in (
                    live.client.post(CLEAR, json={}),
                    live.client.get("/api/system/cache/stats"),
                    live.client.get("/metrics"),
                ):
                    assert answer.status_code == 500
                    assert json.loads(answer.text).keys() == {"detail"}
                    assert "hunter2" not in answer.text
                    assert "ZeroDivision" not in answer.text
                    assert "Traceback" not in answer.text


class TestHeaders:
    @pytest.mark.parametrize(
        ("method", "path"), [("GET", "/healthz"), ("POST", CLEAR), ("GET", "/nowhere"), ("PATCH", CLEAR)]
    )
    def test_every_answer_carries_the_security_headers(self, http, method, path):
        answer = http.request(method, path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"

    def test_a_page_cannot_be_framed_and_tells_no_other_site_where_it_was(self):
        from cenote.control.security import _secured

        sent = dict(_secured([(b"Content-Type", b"text/html; charset=utf-8")], None))
        assert sent[b"x-frame-options"] == b"DENY"
        assert sent[b"referrer-policy"] == b"no-referrer"

    def test_a_wrong_method_is_a_405_that_names_the_right_one(self, http):
        answer = http.get(CLEAR)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
