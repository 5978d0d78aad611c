"""The control plane inside one's own FastAPI app, and the bypass header."""

import re
from contextlib import contextmanager

import pytest
from fastapi import FastAPI, Query

from cenote import CacheManager
from cenote.control import Settings, create_app
from cenote.errors import ConfigurationError
from cenote.integrations.fastapi import BypassMiddleware, cache_router

from .conftest import serving

CLEAR = "/api/system/cache/clear"
TOKEN = "correct-horse"


@pytest.fixture
def caches():
    with CacheManager() as manager:
        yield manager


@contextmanager
def own_app(caches, settings=None, *, prefix="", **options):
    app = FastAPI()

    @app.get("/hello")
    async def hello():
        return {"hello": "world"}

    app.include_router(cache_router(caches, settings or Settings(), **options), prefix=prefix)
    with serving(app, control=False) as live:
        yield live.client, app


def test_every_operation_of_the_app_is_in_the_router_under_the_same_id(caches):
    def operations(schema):
        return {
            (method, path): (each["operationId"], each["responses"].keys())
            for path, methods in schema["paths"].items()
            for method, each in methods.items()
            if path != "/hello"
        }

    with own_app(caches) as (_, app):
        assert operations(app.openapi()) == operations(create_app(caches, Settings()).openapi())


def test_the_router_clears_and_leaves_the_apps_own_routes_alone(caches):
    caches.service("etherforce").set("k", 1)
    with own_app(caches) as (client, _):
        answer = client.post(CLEAR, json={"serviceName": "etherforce"})
        assert (answer.status_code, answer.json()["entriesCleared"]) == (200, 1)
        assert client.get("/hello", headers={"host": "anything.example"}).json() == {"hello": "world"}
        assert "x-content-type-options" not in client.get("/hello").headers


@pytest.mark.parametrize("prefix", ["", "/ops"])
def test_each_route_of_the_router_is_guarded(caches, prefix):
    settings = Settings(token=TOKEN, max_body_bytes=50)
    with own_app(caches, settings, prefix=prefix) as (client, _):
        path = prefix + CLEAR
        bearer = {"authorization": f"Bearer {TOKEN}"}

        def status(**headers):
            return client.post(path, json={}, headers=headers).status_code

        assert status() == 401
        assert status(authorization="Bearer wrong") == 401
        assert status(**bearer) == 200
        assert status(**bearer, host="evil.example") == 403
        assert status(**bearer, origin="https://evil.example") == 403
        long = client.post(path, content=b"{}".ljust(51), headers=bearer | {"content-type": "application/json"})
        assert long.status_code == 413
        assert client.post(path, content=b"{}", headers=bearer).status_code == 415
        for method, route in (("GET", "/metrics"), ("GET", "/api/system/cache/events/stream"), ("GET", CLEAR)):
            assert client.request(method, prefix + route).status_code == 401
        assert client.get(prefix + "/healthz").status_code == 200


def test_the_routers_errors_are_the_contracts_and_leak_nothing(caches):
    with own_app(caches) as (client, _):
        answer = client.post(CLEAR, json={"password": "hunter2"})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["body", "password"]
        assert "hunter2" not in answer.text
        assert client.post(CLEAR, json={"serviceName": "nobody"}).json()["status"] == "error"


def test_query_names_of_the_apps_own_dependencies_can_be_let_through(caches):
    from fastapi import Depends

    async def tenant(tenant: str = Query()):
        return tenant

    app = FastAPI(dependencies=[Depends(tenant)])
    app.include_router(cache_router(caches, Settings(), allowed_query=["tenant"]))
    with serving(app, control=False) as live:
        status = "/api/system/cache/status"
        assert live.client.get(status, params={"tenant": "a"}).status_code == 200
        assert live.client.get(status, params={"tenant": "a", "tenent": "b"}).status_code == 422


def test_settings_of_the_router_come_from_the_environment(caches, monkeypatch):
    monkeypatch.setenv("CENOTE_TOKEN", TOKEN)
    app = FastAPI()
    app.include_router(cache_router(caches))
    with serving(app, control=False) as live:
        assert live.client.post(CLEAR, json={}).status_code == 401


class TestBypass:
    @pytest.fixture
    def counted(self, caches):
        app = FastAPI()
        loads = []
        cache = caches.service("slow")

        @cache.memoize()
        def in_thread(name):
            loads.append(name)
            return len(loads)

        @cache.memoize()
        async def in_loop(name):
            loads.append(name)
            return len(loads)

        @app.get("/thread")
        def thread():
            return in_thread("x")

        @app.get("/loop")
        async def loop():
            return await in_loop("x")

        return app

    @pytest.mark.parametrize("path", ["/thread", "/loop"])
    def test_a_request_with_the_token_reads_past_the_caches_and_only_that_one(self, counted, path):
        counted.add_middleware(BypassMiddleware, token=TOKEN)
        with serving(counted, control=False) as live:
            get = lambda **headers: live.client.get(path, headers=headers).json()  # noqa: E731 - a short helper
            assert (get(), get()) == (1, 1)
            assert get(**{"Cenote-Bypass": TOKEN}) == 2
            assert get() == 1

    @pytest.mark.parametrize("value", ["1", "wrong", "", TOKEN + "x"])
    def test_a_request_that_is_not_allowed_is_served_from_the_cache(self, counted, value):
        counted.add_middleware(BypassMiddleware, token=TOKEN)
        with serving(counted, control=False) as live:
            assert live.client.get("/loop").json() == 1
            assert live.client.get("/loop", headers={"Cenote-Bypass": value}).json() == 1

    def test_a_predicate_decides_from_the_request(self, counted):
        counted.add_middleware(BypassMiddleware, allow=lambda scope: scope["query_string"] == b"debug=1")
        with serving(counted, control=False) as live:
            ask = {"headers": {"Cenote-Bypass": "1"}}
            assert live.client.get("/loop").json() == 1
            assert live.client.get("/loop", **ask).json() == 1
            assert live.client.get("/loop?debug=1").json() == 1
            assert live.client.get("/loop?debug=1", **ask).json() == 2

    def test_it_is_not_allowed_to_everybody_by_accident(self):
        with pytest.raises(ConfigurationError, match=re.escape("token= or allow=")):
            BypassMiddleware(FastAPI())
