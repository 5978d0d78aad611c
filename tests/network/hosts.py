"""Hosts: network namespaces of this machine, each joined to it by a cable (a veth pair) that can be pulled.

What a pulled cable carries vanishes: nobody is told that a connection has ended, as a proxy's clients are. It needs
root, and ``ip`` of iproute2.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

NAMES = re.compile(r"cn-(\d+)-\w+")


class RefusedError(Exception):
    """No namespace can be made here."""


def ip(*arguments):
    """Run ``ip`` and return what it printed."""
    if shutil.which("ip") is None:
        raise RefusedError("there is no ip: it comes with iproute2")
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def refused():
    """Return why no hosts can be made here; None when they can."""
    try:
        with Hosts("x"):
            return None
    except RefusedError as error:
        return str(error)


def remove_stale():
    """Remove the hosts of test processes that were killed, and what still runs there."""
    for name, pid in ((found[0], int(found[1])) for found in NAMES.finditer(ip("netns", "list"))):
        if not Path(f"/proc/{pid}").exists():
            remove(name)


def remove(name):
    """Remove one host, its cable, and what still runs there."""
    with contextlib.suppress(RefusedError):  # a host that was not made whole has none
        # By itself: a namespace is there until its last process has ended.
        ip("link", "del", name.replace("-", ""))
    with contextlib.suppress(RefusedError):  # somebody else removes it just now
        for pid in ip("netns", "pids", name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        ip("netns", "del", name)


class Hosts:
    """Hosts of one letter each, with a cable from each to this machine."""

    def __init__(self, letters):
        self._pid = os.getpid()
        # A range that is set aside for measurements between networks.
        second, third = random.randrange(18, 20), random.randrange(256)
        self.here = {letter: f"198.{second}.{third}.{4 * at + 1}" for at, letter in enumerate(letters)}
        self._there = {letter: f"198.{second}.{third}.{4 * at + 2}" for at, letter in enumerate(letters)}

    def _name(self, letter):
        return f"cn-{self._pid}-{letter}"

    def _cable(self, letter):
        return self._name(letter).replace("-", "")

    def __enter__(self):
        remove_stale()
        try:
            for letter in self.here:
                self._make(letter)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self, letter):
        name, cable = self._name(letter), self._cable(letter)
        ip("netns", "add", name)
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("addr", "add", f"{self.here[letter]}/30", "dev", cable)
        ip("-n", name, "addr", "add", f"{self._there[letter]}/30", "dev", "eth0")
        for where in ((cable,), ("-n", name, "lo"), ("-n", name, "eth0")):
            ip(*where[:-1], "link", "set", where[-1], "up")

    def __exit__(self, *reason):
        for letter in self.here:
            remove(self._name(letter))

    def within(self, letter):
        """Return what a command begins with that is to run on a host."""
        return ["nsenter", f"--net=/run/netns/{self._name(letter)}"]

    def pull(self, letter):
        """Pull a host's cable."""
        ip("link", "set", self._cable(letter), "down")

    def plug(self, letter):
        """Plug it in again."""
        ip("link", "set", self._cable(letter), "up")
