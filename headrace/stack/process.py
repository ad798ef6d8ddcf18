"""One supervised process: takes a Program, keeps it running with back-off until it is told to stop.

The successor of a process that died inherits the same listening socket, so that connections that wait in its
queue are served and not reset.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from headrace.stack.log_file import LogFile
from headrace.stack.status import Status, listen

BACKOFF_SECONDS_MIN: Final = 0.2
BACKOFF_SECONDS_MAX: Final = 10.0
WELL_SECONDS: Final = 10.0  # a process that lived so long, and was ready, starts again at once when it dies
HUNG_SECONDS_MAX: Final = 60.0  # one that says nothing for so long is killed and started anew
PROBE_SECONDS: Final = 0.25
DRAIN_SECONDS_MAX: Final = 1.0  # for the last output of a process that ended
CHUNK_BYTES: Final = 64 * 1024

log = structlog.get_logger()


@dataclass(frozen=True, eq=False)
class Program:
    """What to run. It says that it is ready by status lines on --status-fd, or `probe` finds it out."""

    role: str
    slot: int
    argv: Sequence[str]
    stop_seconds: float  # from SIGTERM to SIGKILL
    stdin: bytes = b""
    env: Mapping[str, str] | None = None  # the whole environment; None: ours
    listener: socket.socket | None = None  # inherited as --fd
    log: LogFile | None = None  # None: its output is ours
    probe: Callable[[], Awaitable[bool]] | None = None
    explain: Callable[[], str] | None = None  # why it ended by itself; None: its last words in the log


class Supervised:
    """The process in one slot, through all its restarts. `changed`: it started, ended or spoke."""

    def __init__(
        self,
        program: Program,
        changed: Callable[[], None],
        now: Callable[[], float],
        ended: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """`ended` is told the pid of each process that is gone."""
        self.program = program
        self.status = Status(now)
        self.pid: int | None = None
        self.restarts = 0
        self.was_killed = False  # while stopping: it did not end within its deadline
        self.not_flushed = 0  # records, as the last status line before the end said
        self._changed, self._now, self._ended = changed, now, ended
        self._process: Process | None = None
        self._probed = False
        self._was_ready = False
        self._silent_seconds = 0.0
        self._failure = ""
        self._stopping, self._done = asyncio.Event(), asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether it runs and is ready, by its own fresh word or the probe."""
        return self.pid is not None and (self._probed if self.program.probe else self.status.ready)

    @property
    def reasons(self) -> list[str]:
        """Why it is not ready, in words."""
        role = self.program.role
        if self.pid is None:
            state = "ended" if self._stopping.is_set() else self._failure or "not started yet"
            return [f"{role}: {state}"]
        if self.program.probe:
            waiting = "stopping" if self._stopping.is_set() else "does not answer yet"
            return [] if self._probed and not self._stopping.is_set() else [f"{role}: {waiting}"]
        if self.status.age_seconds is None:
            return [f"{role}: starting"]
        if not self.status.fresh:
            return [f"{role}: process {self.pid} does not answer"]
        return [f"{role}: {reason}" for reason in self.status.reasons]

    async def keep(self) -> None:
        """Run it, and again when it ends, until `stop`. Suspends all that time."""
        try:
            await self._keep()
        finally:
            self._done.set()

    async def _keep(self) -> None:
        delay = 0.0
        while not self._stopping.is_set():
            began = self._now()
            end = await self._live()
            if self._stopping.is_set():
                return
            ran_well = self._was_ready and self._now() - began >= WELL_SECONDS
            delay = backoff(0.0 if ran_well else delay)
            self._failure = f"{end}; starts again within {delay:.1f} s"
            log.warning("process_ended", role=self.program.role, slot=self.program.slot, end=end)
            self.restarts += 1
            self._changed()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def stop(self, hurry: asyncio.Event) -> None:
        """SIGTERM, then SIGKILL at the deadline or once `hurry` is set. Returns when it is gone; suspends."""
        self._stopping.set()
        self.signal(signal.SIGTERM)
        seconds = self.program.stop_seconds
        async with asyncio.TaskGroup() as waits:
            gone, hurried = (waits.create_task(event.wait()) for event in (self._done, hurry))
            await asyncio.wait((gone, hurried), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            hurried.cancel()
            if not gone.done():
                self.was_killed = True
                self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def tick(self, seconds: float) -> None:
        """Called regularly: a process that has been silent too long is killed, so that it is started anew."""
        silent = self.pid is not None and not self.program.probe and not self.status.fresh
        self._silent_seconds = self._silent_seconds + seconds if silent else 0.0
        if self._silent_seconds >= HUNG_SECONDS_MAX:
            log.warning("process_hung", role=self.program.role, pid=self.pid)
            self._silent_seconds = 0.0
            self.signal(signal.SIGKILL)

    async def _live(self) -> str:
        """One life of the process; how it ended, in words."""
        self._was_ready = self._probed = False
        if self.program.log:
            self.program.log.forget()
        try:
            process, status_fd = await self._spawn()
        except OSError as error:
            return f"could not be started ({error.strerror or error})"
        self._process, self.pid = process, process.pid
        log.info("process_started", role=self.program.role, slot=self.program.slot, pid=process.pid)
        if self._stopping.is_set():
            process.terminate()  # `stop` came while it was being started
        self._changed()
        try:
            code = await self._attend(process, status_fd)
        finally:
            self._process = self.pid = None
            self.status.forget()
            self._ended(process.pid)
        self._changed()
        return self._explained(code)

    def _explained(self, code: int) -> str:
        """How it ended, in words; why, where it ended by itself and said so."""
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        if self.program.explain:
            words = self.program.explain()
        else:
            words = self.program.log.last_words() if self.program.log else ""
        return f"ended with code {code}" + (f": {words}" if words else "")

    async def _spawn(self) -> tuple[Process, int]:
        """Start it; the process, and the descriptor where its status lines come. Raises OSError."""
        program, (read_fd, write_fd) = self.program, os.pipe()
        argv, fds = [*program.argv], []
        if program.listener is not None:
            fds.append(program.listener.fileno())
            argv += ["--fd", str(fds[0])]
        if program.probe is None:
            fds.append(write_fd)
            argv += ["--status-fd", str(write_fd)]
        output = PIPE if program.log else None
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # inherited: Ctrl-C is for us alone
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=PIPE if program.stdin else DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT if program.log else None,
                env=program.env,
                pass_fds=fds,
            )
        except OSError:
            os.close(read_fd)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
            os.close(write_fd)
        return process, read_fd

    async def _attend(self, process: Process, status_fd: int) -> int:
        """Feed it, listen to it, until it has ended; its exit code."""
        async with asyncio.TaskGroup() as tasks:
            attending = [tasks.create_task(listen(status_fd, self._hear))]
            if process.stdin is not None:
                attending.append(tasks.create_task(_feed(process.stdin, self.program.stdin)))
            if process.stdout is not None and self.program.log is not None:
                attending.append(tasks.create_task(_record(process.stdout, self.program.log)))
            probing = tasks.create_task(self._probe()) if self.program.probe else None
            code = await process.wait()
            if probing:
                probing.cancel()
            await asyncio.wait(attending, timeout=DRAIN_SECONDS_MAX)
            for task in attending:
                task.cancel()
        return code

    def _hear(self, line: bytes) -> None:
        if self.status.hear(line):
            left = self.status.get("records_not_flushed")
            self.not_flushed = left if isinstance(left, int) else 0
            self._was_ready = self._was_ready or self.status.ready
            self._changed()

    async def _probe(self) -> None:
        """Ask the probe until the process ends."""
        while self.program.probe:
            answered = await self.program.probe()
            if answered != self._probed:
                self._probed = answered
                self._was_ready = self._was_ready or answered
                self._changed()
            await asyncio.sleep(PROBE_SECONDS)


def backoff(delay: float) -> float:
    """Seconds until the next start, after an end that followed a wait of `delay` (0: it ran well)."""
    return min(max(2 * delay, BACKOFF_SECONDS_MIN), BACKOFF_SECONDS_MAX)


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(ConnectionError):  # it ended before it had read all; its end says why
        stdin.write(data)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _record(stdout: asyncio.StreamReader, file: LogFile) -> None:
    while data := await stdout.read(CHUNK_BYTES):
        file.write(data)
