"""The supervisor of `up`, `collect` and `sink`: takes stages of programs, keeps them running, stops in order.

A stage starts once the one before is ready; after that each process lives for itself. The stop, on the first
SIGINT or SIGTERM: 1. collectors: no new connections, what runs is answered, rounds are flushed; 2. sinks:
what is fetched is landed; 3. Kafka. Each has its deadline, then SIGKILL, and what was not flushed is said. A
second signal skips the waiting: everything is killed; what was answered at `kafka` or `disk` outlives it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import structlog

from headrace.stack.process import Program, Supervised

STOP_ORDER: Final = ("collector", "sink", "kafka")
TICK_SECONDS: Final = 1.0
HURRY_SECONDS_MIN: Final = 0.5  # one Ctrl-C may come twice: to the group, and from a program that hands it on

log = structlog.get_logger()


class Supervisor:
    """All processes of one program, and the way they are stopped. One event loop, no threads."""

    def __init__(
        self,
        stages: Sequence[Sequence[Program]],
        *,
        now: Callable[[], float] = time.monotonic,
        ended: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """`ended` is told the pid of each process that is gone."""
        self.processes: list[Supervised] = []
        self.complete = False  # all were ready at once, at least once
        self._stages, self._now, self._ended = stages, now, ended
        self._listening: list[Callable[[], None]] = []
        self._changes = asyncio.Event()
        self._asked = 0.0
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()

    def on_change(self, call: Callable[[], None]) -> None:
        """Call this at every start, end and new word of a process. It must not raise or wait."""
        self._listening.append(call)

    def ask_stop(self) -> None:
        """Stop in order; asked again, but not in the same breath: at once."""
        if not self._stop.is_set():
            self._asked = self._now()
            self._stop.set()
        elif self._now() - self._asked >= HURRY_SECONDS_MIN:
            self._hurry.set()

    @property
    def stopping(self) -> bool:
        """Whether the stop was asked for."""
        return self._stop.is_set()

    def of(self, role: str) -> list[Supervised]:
        """The processes of a role, by slot."""
        return [process for process in self.processes if process.program.role == role]

    def pids(self, role: str) -> list[int]:
        """Pids of a role's processes that run now."""
        return [process.pid for process in self.of(role) if process.pid is not None]

    async def run(self) -> list[str]:
        """Start all, keep them running until a stop is asked for, then stop them. Suspends all that time.

        Returns what was not flushed, in words.
        """
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(self._tick())
            for stage in self._stages:
                started = [self._start(tasks, program) for program in stage]
                await self._until_ready(started)
            self.complete = not self.stopping
            self._changed()
            await self._stop.wait()
            left = [words for role in STOP_ORDER for words in await self._end(self.of(role))]
            ticking.cancel()
        return left

    def _start(self, tasks: asyncio.TaskGroup, program: Program) -> Supervised:
        process = Supervised(program, self._changed, self._now, self._ended)
        if not self.stopping:
            self.processes.append(process)
            tasks.create_task(process.keep(), name=f"{program.role} {program.slot}")
        return process

    async def _until_ready(self, started: Sequence[Supervised]) -> None:
        """Wait until all of them are ready, or for the stop."""
        async with asyncio.TaskGroup() as waits:
            stopping = waits.create_task(self._stop.wait())
            while not self.stopping and not all(process.ready for process in started):
                self._changes.clear()
                changes = waits.create_task(self._changes.wait())
                await asyncio.wait((stopping, changes), return_when=asyncio.FIRST_COMPLETED)
                changes.cancel()
            stopping.cancel()

    async def _end(self, processes: Iterable[Supervised]) -> list[str]:
        """Stop the processes of one role at the same time; what they left, in words."""
        ending = list(processes)
        async with asyncio.TaskGroup() as stops:
            for process in ending:
                stops.create_task(process.stop(self._hurry))
            await asyncio.sleep(0)  # SIGTERM is out; now our copies of the sockets: nobody queues there now
            for process in ending:
                if process.program.listener is not None:
                    process.program.listener.close()
        return [words for process in ending if (words := self._left(process))]

    def _left(self, process: Supervised) -> str:
        program = process.program
        name = f"{program.role} {program.slot}"
        if process.was_killed and self._hurry.is_set():
            return f"{name} was killed"
        if process.was_killed:
            return f"{name} did not stop within {program.stop_seconds:.0f} s and was killed"
        if process.not_flushed:
            return f"{name} could not flush {process.not_flushed} records; their senders got no answer"
        return ""

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for process in self.processes:
                process.tick(TICK_SECONDS)

    def _changed(self) -> None:
        self._changes.set()
        for call in self._listening:
            call()


def attend_signals(supervisor: Supervisor) -> None:
    """SIGINT and SIGTERM ask for the stop; for composition roots, within the running loop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.ask_stop)
