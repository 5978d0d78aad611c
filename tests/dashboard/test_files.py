"""The page's files: what is served, to whom, and with which headers."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from fastapi import FastAPI

import cenote.dashboard
from cenote import CacheManager
from cenote.control import Settings, create_app
from cenote.dashboard import page_files
from cenote.errors import ConfigurationError
from cenote.integrations.fastapi import cache_router

from .conftest import client_of

SOURCES = Path(cenote.dashboard.__file__).parent
NAMES = [file.name for file in page_files()]
# SHA-256 of the files in the npm package uplot, 1.6.32.
VENDORED = {
    "uplot.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uplot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def test_what_comes_from_elsewhere_is_unchanged_and_has_its_licence_beside_it():
    found = {name: hashlib.sha256((SOURCES / "vendor" / name).read_bytes()).hexdigest() for name in VENDORED}
    assert found == VENDORED
    assert {file.name for file in (SOURCES / "vendor").iterdir()} == {*VENDORED, "README.md"}


@pytest.fixture(scope="module")
def client():
    with CacheManager() as caches, client_of(create_app(caches, Settings(token="secret"))) as client:
        yield client


def test_the_page_is_at_the_root_and_needs_no_token(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>Cenote</title>" in answer.text


@pytest.mark.parametrize("name", NAMES[1:])
def test_each_file_has_its_type_and_is_asked_for_anew_each_time(client, name):
    answer = client.get(f"/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(KINDS[name.rpartition(".")[2]])
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get(f"/{name}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(f"/{name}", headers={"if-none-match": '"another"'}).status_code == 200
    assert client.head(f"/{name}").status_code == 200


def test_the_policy_lets_nothing_run_but_the_pages_own_files(client):
    policy = client.get("/").headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert client.get("/").headers["x-frame-options"] == "DENY"


def test_another_site_is_refused_the_page_and_no_file_beside_it_is_served(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/assets/app.js", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    for path in ("/assets/nothing.js", "/vendor/README.md", "/assets/../__init__.py", "/index.html"):
        assert client.get(path).status_code in {401, 404}


def test_nothing_is_written_into_the_markup_and_nothing_comes_from_elsewhere():
    own = [
        path for path in SOURCES.rglob("*") if path.suffix in {".html", ".js", ".css"} and path.parent.name != "vendor"
    ]
    assert len(own) > 20
    risky = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc")
    inline = re.compile(r"\sstyle=|\son[a-z]+=\"|<script>|<style|javascript:")
    elsewhere = re.compile(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.\w+")
    for path in own:
        text = path.read_text()
        assert risky.search(text) is None, path.name
        assert elsewhere.search(text) is None, path.name
        if path.suffix == ".html":
            assert inline.search(text) is None


def test_every_file_is_one_noun_of_at_most_400_lines():
    lines = {path.name: path.read_text().count("\n") for path in (SOURCES / "assets").iterdir()}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_every_import_of_a_module_is_there_and_every_module_is_imported():
    modules = {path.name: path.read_text() for path in (SOURCES / "assets").glob("*.js")}
    imported = {name for text in modules.values() for name in re.findall(r'from "\./([\w.]+)"', text)}
    assert imported | {"app.js", "early.js"} == modules.keys()


def test_below_a_prefix_everything_is_relative():
    app = FastAPI()
    with CacheManager() as caches:
        app.mount("/ops", create_app(caches, Settings()))
        with client_of(app) as client:
            page = client.get("/ops/")
            assert page.status_code == 200
            assert re.search(r'(?:href|src)="/', page.text) is None
            assert 'content="./"' in page.text
            assert client.get("/ops/assets/app.js").status_code == 200


@pytest.mark.parametrize(("page", "root"), [("/", "./"), ("/cenote/", "../"), ("/ops/cenote/", "../../")])
def test_a_router_has_the_page_where_it_is_told_to(page, root):
    app = FastAPI()
    with CacheManager() as caches:
        app.include_router(cache_router(caches, Settings(token="secret"), page=page), prefix="/in")
        with client_of(app) as client:
            answer = client.get(f"/in{page}")
            assert answer.status_code == 200
            assert f'name="cenote-root" content="{root}"' in answer.text
            assert "content-security-policy" in answer.headers
            assert client.get(f"/in{page}assets/app.js").status_code == 200
            assert client.get("/in/api/system/cache/status").status_code == 401
            assert "/in" + page not in app.openapi()["paths"]


def test_a_router_has_no_page_unless_it_is_told_to():
    app = FastAPI()
    with CacheManager() as caches:
        app.include_router(cache_router(caches, Settings()))
        with client_of(app) as client:
            assert client.get("/").status_code == 404


@pytest.mark.parametrize("page", ["", "cenote", "/cenote", "cenote/", "//", "/a b/", "/{x}/"])
def test_a_page_must_be_a_path_between_slashes(page):
    with CacheManager() as caches, pytest.raises(ConfigurationError, match="page="):
        cache_router(caches, Settings(), page=page)
