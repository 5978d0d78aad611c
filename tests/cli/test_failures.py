"""What goes wrong ends in one sentence and the documented exit code, within a bounded time."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cenote.cli.exit_codes import MEANINGS, ExitCode


@contextmanager
def other_server(status, kind, body):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # http.server looks for this name

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def deaf_server(answer=b""):
    """Accept connections; answer nothing, or something that is not HTTP."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        kept = []

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                kept.append(connection)
                if answer:
                    connection.sendall(answer)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in kept:
                connection.close()


def free_address():
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("stats",),
        ("clear", "x"),
        ("invalidate", "k"),
        ("keys",),
        ("events",),
        ("events", "--follow"),
    ],
)
def test_a_server_that_is_not_there_gives_one_sentence_with_its_address(cenote, arguments):
    address = free_address()
    done = cenote(*arguments, "--server", address)
    assert done.code == 3
    assert done.out == ""
    assert done.err == f"Error: No server answers at {address} (connection refused).\n"


def test_in_json_a_failure_is_a_document_too(cenote):
    done = cenote("status", "--json", "--server", free_address())
    assert done.json["status"] == "error"
    assert done.json["exitCode"] == done.code == 3


def test_a_server_that_was_killed_is_unreachable(served):
    served.running.process.kill()
    served.running.end()
    done = served("clear", "workflow")
    assert done.code == 3
    assert served.url in done.err


def test_a_server_that_never_answers_is_given_up_in_time(cenote):
    with deaf_server() as address:
        done = cenote("status", "--server", address, "--timeout", "0.5")
    assert done.code == 3
    assert "did not answer in time (0.5 s)" in done.err


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<h1>Hello</h1>"),
        (404, "text/html", b"<h1>Nothing here</h1>"),
        (404, "application/json", b'{"detail": "Not Found"}'),
        (200, "application/json", b'{"hello": "world"}'),
        (200, "application/json", b"[]"),
        (200, "application/json", b"{"),
        (302, "text/plain", b""),
        (500, "text/plain", b"oh no"),
    ],
)
def test_something_else_at_the_address_is_told_apart(cenote, status, kind, body):
    with other_server(status, kind, body) as address:
        done = cenote("status", "--server", address)
    assert done.code == 6
    assert address in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) == 1


def test_what_does_not_speak_http_is_told_apart(cenote):
    with deaf_server(b"SSH-2.0-OpenSSH_9.2\r\n\r\n") as address:
        done = cenote("status", "--server", address)
    assert done.code == 6
    assert "does not speak HTTP" in done.err


@pytest.mark.parametrize("address", ["ftp://host", "http://", "http://host:port", "http://[", ""])
def test_an_address_that_cannot_be_used_is_wrong_usage(cenote, address):
    assert cenote("status", "--server", address or "http://").code == 2


def test_a_missing_and_a_wrong_token_are_told_apart(host):
    served = host(token="secret-of-the-house")
    served.put("k")
    assert served("status").code == 0
    missing = served.cenote("status", "--server", served.url)
    assert missing.code == 5
    assert "CENOTE_TOKEN" in missing.err
    wrong = served.cenote("clear", "--global", "--server", served.url, "--token", "guess")
    assert wrong.code == 5
    assert "refused the token" in wrong.err
    assert "guess" not in wrong.err
    assert served("status", "--json").json["totalEntries"] == 1


def test_a_token_that_no_header_can_carry_is_wrong_usage(cenote):
    for token in ("naïve ✓", "two\nlines"):
        done = cenote("status", "--token", token)
        assert done.code == 2
        assert token not in done.err


def test_credentials_in_the_address_are_not_repeated(cenote):
    address = free_address().replace("//", "//user:hunter2@")
    assert "hunter2" not in cenote("status", "--server", address).err


def test_wrong_options_are_wrong_usage(cenote):
    assert cenote("status", "--verbose").code == 2
    assert cenote("clera").code == 2
    assert cenote("keys", "--limit", "0").code == 2


def test_the_help_of_every_command_documents_every_exit_code(cenote):
    for command in (
        (),
        *((name,) for name in ("serve", "demo", "status", "stats", "clear", "keys", "events")),
    ):
        text = " ".join(cenote(*command, "--help").out.split())
        for code in ExitCode:
            assert f"{code.value} {MEANINGS[code]}" in text, command


def test_exit_codes_never_change():
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "REFUSED": 1,
        "USAGE": 2,
        "UNREACHABLE": 3,
        "NOT_FOUND": 4,
        "NOT_ALLOWED": 5,
        "NOT_CENOTE": 6,
        "MISSING_EXTRA": 7,
        "CANNOT_START": 8,
        "INTERRUPTED": 130,
        "BROKEN_PIPE": 141,
    }


@pytest.mark.parametrize("package", ["typer", "rich", "httpx"])
def test_a_missing_package_gives_the_pip_command(package):
    program = f"import sys; sys.modules[{package!r}] = None; import cenote.cli; cenote.cli.main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert 'pip install "cenote[cli]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("package", ["fastapi", "uvicorn"])
def test_a_server_without_its_packages_gives_the_pip_command(package):
    program = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['cenote', 'serve']; import cenote.cli"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; cenote.cli.main()"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert 'pip install "cenote[server]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error_worth_a_word(served):
    for number in range(50):
        served.put(f"k{number}", service="many")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "cenote.cli", "keys", "many", "--server", served.url],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def test_the_version_is_told(cenote):
    done = cenote("--version")
    assert done.code == 0
    assert re.match(r"cenote ", done.out)


@pytest.mark.parametrize(
    ("level", "said"), [("process", "repeat it (level process was reached, and no more)"), ("none", "repeat it")]
)
def test_a_clear_that_could_not_keep_its_promise_names_what_it_reached(cenote, level, said):
    body = json.dumps({"status": "error", "message": "repeat it", "clearedItems": [], "level": level}).encode()
    with other_server(503, "application/json", body) as url:
        done = cenote("clear", "--global", "--server", url)
    assert (done.code, done.out, done.err) == (1, "", f"Error: {said}\n")
