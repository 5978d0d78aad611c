"""Attendance: each process sees to it that its machine has an agent, and starts one if there is none."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from typing import Any

from cenote.errors import CenoteError
from cenote.invalidation.network.agent_process import AgentThread, lock_of, member_name, start_agent

__all__ = ["Attendance"]

logger = logging.getLogger("cenote")


class Attendance:
    """What one process does for the agent of its machine; whoever holds the lock of a file beside the mirror is it."""

    def __init__(self, mirror: Path, told: dict[str, Any], *, thread: bool) -> None:
        """Start nothing yet.

        Args:
            mirror: The mirror's file.
            told: What an agent is told beside its name.
            thread: Whether an agent that this process starts is a thread and not a process.
        """
        self._lock = lock_of(mirror)
        self._told = {**told, "path": str(mirror)}
        self._as_thread = thread
        self._agent: AgentThread | None = None

    def look(self) -> None:
        """Start an agent if there is none."""
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return
            told = {**self._told, "member": member_name(descriptor)}
            if self._as_thread:
                self._agent = AgentThread(descriptor, told)
                return
            try:
                start_agent(descriptor, told)
            finally:
                os.close(descriptor)
        except (OSError, ValueError, CenoteError) as error:
            logger.warning("the agent of this machine cannot be started: %s", error)

    def after_fork(self) -> None:
        """In a forked child: leave the agent to the parent."""
        if self._agent is not None:
            self._agent.after_fork()
            self._agent = None

    def close(self) -> None:
        """End the agent that is a thread of this process; one in a process ends when nobody needs it."""
        if self._agent is not None:
            self._agent.stop()
