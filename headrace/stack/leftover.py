"""A Kafka left over from a killed run: recognised by its own pid file, stopped before the next one starts.

Takes the pid file that `headrace.stack.launch` wrote. Only the very process that wrote it is touched: its
pid must still have the same start time.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from headrace.errors import HeadraceError
from headrace.stack.launch import started

STOP_SECONDS_MAX: Final = 20.0  # from SIGTERM to SIGKILL
END_SECONDS_MAX: Final = 10.0  # from SIGKILL to the end; a process in disk I/O needs longer than none
POLL_SECONDS: Final = 0.05

log = structlog.get_logger()


class Owner(NamedTuple):
    """What a pid file says."""

    pid: int
    started: str
    parent: int
    parent_started: str

    def runs(self) -> bool:
        """Whether this very process still runs."""
        return started(self.pid) == self.started

    def parent_runs(self) -> bool:
        """Whether the process that started it still runs."""
        return started(self.parent) == self.parent_started


def owner(pid_file: Path) -> Owner | None:
    """The process that wrote the pid file, None if there is none or the file makes no sense."""
    try:
        pid, since, parent, parent_since = pid_file.read_text().split()
        return Owner(int(pid), since, int(parent), parent_since)
    except (FileNotFoundError, ValueError):
        return None


def stop(pid_file: Path) -> bool:
    """End what still runs from an earlier start; whether there was any. Blocks until it is gone.

    Raises HeadraceError `broker_in_use` when the process that started it still runs, and
    `leftover_stays` when it doesn't end.
    """
    found = owner(pid_file)
    if found is None or not found.runs():
        return False
    if found.parent != os.getpid() and found.parent_runs():
        text = f"{pid_file.parent} is in use: process {found.parent} runs Kafka (process {found.pid}) on it."
        raise HeadraceError("broker_in_use", f"{text} Stop that one first, or use another data directory")
    log.warning("leftover_broker_found", pid=found.pid)
    for number, seconds in ((signal.SIGTERM, STOP_SECONDS_MAX), (signal.SIGKILL, END_SECONDS_MAX)):
        with suppress(ProcessLookupError):
            os.kill(found.pid, number)
        if _ended(found, seconds):
            return True
    text = f"Kafka (process {found.pid}) of an earlier run does not end, not even by SIGKILL"
    raise HeadraceError("leftover_stays", f"{text}; a disk that hangs may be why. Try again later")


def _ended(found: Owner, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while found.runs():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
