"""Small scripted children for tests of the supervisor, and a run of it in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from headrace.stack.log_file import LogFile
from headrace.stack.process import Program
from headrace.stack.supervisor import Supervisor

SECONDS_MAX = 10.0
CHILD = """
import json, os, signal, socket, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
status = int(given.get("--status-fd", "2"))
def say(ready=True, **words):
    line = {"ready": ready, "pid": os.getpid(), "reasons": [], **words}
    os.write(status, json.dumps(line).encode() + b"\\n")
"""
SAYS_READY = """
say()
while True:
    time.sleep(0.2)
    say()
"""


def program(role: str, script: str, **settings: object) -> Program:
    """A child that runs the script; `say(...)` writes its status line."""
    code = CHILD + textwrap.dedent(script)
    options: dict[str, object] = {"slot": 0, "stop_seconds": SECONDS_MAX, **settings}
    return Program(role, argv=[sys.executable, "-I", "-S", "-c", code], **options)  # type: ignore[arg-type]


async def until(what: Callable[[], object], told: str = "") -> None:
    """Wait for the condition, with a deadline."""
    deadline = time.monotonic() + SECONDS_MAX
    while not what():
        assert time.monotonic() < deadline, told or "not within the deadline"
        await asyncio.sleep(0.01)  # the poll itself


@contextlib.asynccontextmanager
async def running(
    *stages: Sequence[Program], now: Callable[[], float] = time.monotonic
) -> AsyncIterator[tuple[Supervisor, asyncio.Task[list[str]]]]:
    """A supervisor that runs, and is stopped at the end unless the test did."""
    supervisor = Supervisor(stages, now=now)
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, task
    finally:
        supervisor.ask_stop()
        await asyncio.wait_for(task, SECONDS_MAX)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(), 3 * SECONDS_MAX)

    asyncio.run(main())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def listening() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    os.set_inheritable(listener.fileno(), True)
    return listener


def log_file(folder: Path) -> LogFile:
    return LogFile(folder / "child.log")
