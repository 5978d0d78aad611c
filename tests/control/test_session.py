"""Who may look, and who may clear: tokens, and cookies for browsers."""

import httpx
import pytest

from cenote import CacheManager
from cenote.control import Settings
from cenote.control.sessions import Sessions
from cenote.errors import ConfigurationError

API = "/api/system/cache"
SESSION = "/api/system/session"
OPERATOR = "operators-token"
VIEWER = "viewers-token"


@pytest.fixture
def guarded(serve):
    with CacheManager() as caches:
        caches.service("books").set("dune", 1)
        guarded = serve(caches, token=OPERATOR, viewer_token=VIEWER)
        del guarded.client.headers["authorization"]
        yield guarded


@pytest.fixture
def origin(guarded):
    return f"http://127.0.0.1:{guarded.port}"


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def sign_in(guarded, origin, token):
    return guarded.client.post(SESSION, json={"token": token}, headers={"origin": origin})


def changes(guarded, **headers):
    """The status of everything that changes something."""
    asked = [
        guarded.client.post(f"{API}/clear", json={"serviceName": "books"}, headers=headers),
        guarded.client.post("/api/system/performance/clear-cache", headers=headers),
        guarded.client.put(f"{API}/entries/k?serviceName=books", json={"value": 1}, headers=headers),
        guarded.client.delete(f"{API}/entries/k?serviceName=books", headers=headers),
        guarded.client.delete(f"{API}/invalidate?key=k&serviceName=books", headers=headers),
        guarded.client.delete(f"{API}/refill?serviceName=books", headers=headers),
        guarded.client.delete(f"{API}/refill?all=true", headers=headers),
    ]
    return {answer.status_code for answer in asked}


@pytest.mark.parametrize("path", ["status", "stats", "overview", "history", "events", "entries?serviceName=books"])
def test_a_viewer_may_look_at_everything(guarded, path):
    assert guarded.client.get(f"{API}/{path}", headers=bearer(VIEWER)).status_code == 200
    assert guarded.client.get(f"{API}/{path}").status_code == 401


def test_a_viewer_may_change_nothing(guarded):
    assert changes(guarded, **bearer(VIEWER)) == {403}
    assert guarded.caches.service("books").get("dune") == 1
    told = guarded.client.post(f"{API}/clear", json={}, headers=bearer(VIEWER)).json()["detail"]
    assert "viewer" in told
    assert changes(guarded, **bearer(OPERATOR)) == {200}


def test_a_viewer_may_see_what_a_clear_would_take(guarded):
    dry = {"serviceName": "books", "dryRun": True}
    assert guarded.client.post(f"{API}/clear", json=dry, headers=bearer(VIEWER)).json()["entriesCleared"] == 1
    answer = guarded.client.post("/api/system/performance/clear-cache", json={"dryRun": True}, headers=bearer(VIEWER))
    assert answer.status_code == 200
    assert guarded.caches.service("books").get("dune") == 1


def test_the_session_says_who_the_caller_is(guarded):
    assert guarded.client.get(SESSION).json() == {
        "role": None,
        "required": True,
        "viewers": True,
        "actor": None,
        "expiresAt": None,
    }
    assert guarded.client.get(SESSION, headers=bearer(VIEWER)).json()["role"] == "viewer"
    operator = guarded.client.get(SESSION, headers=bearer(OPERATOR)).json()
    assert (operator["role"], operator["actor"]) == ("operator", "token@127.0.0.1")
    assert guarded.client.get(SESSION, headers=bearer("wrong")).json()["role"] is None


def test_without_a_token_everybody_served_is_an_operator(serve):
    with CacheManager() as caches:
        guarded = serve(caches)
        assert guarded.client.get(SESSION).json()["role"] == "operator"
        assert guarded.client.get(SESSION).json()["required"] is False
        signed = guarded.client.post(SESSION, json={"token": "any"})
        assert signed.json()["role"] == "operator"
        assert "set-cookie" not in signed.headers


def test_a_browser_signs_in_with_a_cookie_that_scripts_and_other_sites_cannot_use(guarded, origin):
    answer = sign_in(guarded, origin, OPERATOR)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert part in cookie
    assert "Secure" not in cookie
    who = guarded.client.get(SESSION).json()
    assert (who["role"], who["actor"]) == ("operator", "session@127.0.0.1")
    assert who["expiresAt"].endswith("Z")
    assert guarded.client.get(f"{API}/status").status_code == 200
    assert changes(guarded, origin=origin) == {200}


def test_a_cookie_over_https_is_secure(guarded, origin):
    headers = {"origin": origin, "x-forwarded-proto": "https"}
    answer = guarded.client.post(SESSION, json={"token": OPERATOR}, headers=headers)
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "none"}, 401),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_a_cookie_clears_nothing_but_for_a_page_of_this_host(guarded, origin, headers, status):
    sign_in(guarded, origin, OPERATOR)
    assert changes(guarded, **headers) == {status}
    assert (guarded.caches.service("books").get("dune") is None) is (status == 200)


def test_a_cookie_is_worth_nothing_to_an_allowed_origin_of_another_site(serve):
    with CacheManager() as caches:
        guarded = serve(caches, token=OPERATOR, allowed_origins=("https://ops.example",))
        del guarded.client.headers["authorization"]
        sign_in(guarded, f"http://127.0.0.1:{guarded.port}", OPERATOR)
        assert guarded.client.get(f"{API}/status").status_code == 200
        assert guarded.client.get(f"{API}/status", headers={"origin": "https://ops.example"}).status_code == 401


def test_a_viewers_session_is_a_viewers(guarded, origin):
    assert sign_in(guarded, origin, VIEWER).json()["role"] == "viewer"
    assert changes(guarded, origin=origin) == {403}


def test_signing_out_ends_the_session(guarded, origin):
    sign_in(guarded, origin, VIEWER)
    assert guarded.client.delete(SESSION, headers={"origin": origin}).json()["role"] is None
    assert guarded.client.get(f"{API}/status").status_code == 401


def test_a_viewer_cannot_make_an_operator_of_a_cookie(guarded, origin):
    sign_in(guarded, origin, VIEWER)
    value = guarded.client.cookies["cenote_session"]
    guarded.client.cookies.clear()
    role, expires, nonce, mac = value.split(".")
    forged = [
        f"operator.{expires}.{nonce}.{mac}",
        f"{role}.{int(expires) + 1}.{nonce}.{mac}",
        f"{role}.{expires}..{mac}",
        f"{role}.{expires}.{nonce}.",
        f"{role}.{expires}.{nonce}.é",
        "operator",
        "",
    ]
    for each in forged:
        raw = httpx.Headers([(b"cookie", f"cenote_session={each}".encode("latin-1"))])
        assert guarded.client.get(f"{API}/status", headers=raw).status_code == 401
    odd = {"cookie": f'other={{"a b"; cenote_session={value}; x=1'}
    assert guarded.client.get(f"{API}/status", headers=odd).status_code == 200


def test_a_session_ends_by_itself_and_with_its_token(monkeypatch):
    settings = Settings(token=OPERATOR, session_seconds=60)
    value, caller = Sessions(settings).issue("operator")
    headers = {b"cookie": f"cenote_session={value}".encode()}
    assert Sessions(settings).caller(headers) == caller
    assert Sessions(Settings(token="another", session_seconds=60)).caller(headers) is None
    monkeypatch.setattr("cenote.control.sessions.time.time", lambda: caller.expires)
    assert Sessions(settings).caller(headers) is None


def test_a_wrong_token_is_not_made_good_by_a_cookie(guarded, origin):
    sign_in(guarded, origin, OPERATOR)
    assert guarded.client.get(f"{API}/status", headers=bearer("wrong")).status_code == 401


def test_who_tries_many_tokens_has_to_wait(guarded, origin):
    statuses = [sign_in(guarded, origin, f"guess-{number}").status_code for number in range(11)]
    assert statuses == [401] * 10 + [429]
    assert int(sign_in(guarded, origin, OPERATOR).headers["retry-after"]) > 0
    assert guarded.client.get(f"{API}/status", headers=bearer(OPERATOR)).status_code == 200


@pytest.mark.parametrize("settings", [{"viewer_token": "x"}, {"token": "x", "viewer_token": "x"}])
def test_a_viewers_token_needs_an_operators_that_differs(settings):
    with pytest.raises(ConfigurationError, match="CENOTE_VIEWER_TOKEN"):
        Settings(**settings)


class TestFilters:
    @pytest.fixture
    def events(self, http, caches):
        caches.service("books").set("dune", 1)
        caches.clear("books", reason="deploy 17", actor="ann")
        http.delete(f"{API}/invalidate?key=Dune-2&serviceName=books")
        caches.clear_all(reason="the end")

        def ask(**query):
            answer = http.get(f"{API}/events", params={"after": caches.audit.events()[-4].id, **query})
            assert answer.status_code == 200, answer.text
            return [event["action"] for event in answer.json()["events"]]

        return ask

    def test_by_kind(self, events):
        assert events(kind="clear") == ["clear"]
        assert events(kind="clear_all,invalidate") == ["invalidate", "clear_all"]

    def test_by_text_in_any_case(self, events):
        assert events(text="DEPLOY") == ["clear"]
        assert events(text="dune-2") == ["invalidate"]
        assert events(text="nothing of the kind") == []

    def test_by_status_and_order(self, events):
        assert events(status="error") == []
        assert events(status="success", order="desc") == ["clear_all", "invalidate", "clear"]

    def test_by_time(self, events, caches):
        first = caches.audit.events()[-3].timestamp
        assert events(since=first) == ["clear", "invalidate", "clear_all"]
        assert events(until=first) == []
        assert events(since="2999-01-01T00:00:00") == []

    @pytest.mark.parametrize("query", ["kind=clean", "kind=", "since=yesterday", "status=odd", "order=up"])
    def test_what_cannot_be_meant_is_refused(self, http, query):
        assert http.get(f"{API}/events?{query}").status_code == 422
