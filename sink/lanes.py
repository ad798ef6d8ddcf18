"""The lanes of this sink: takes what the group gives, runs one landing for each lane until it goes.

A lane that goes has been flushed before the group was arranged anew; what it took since is dropped, as its
next owner reads it again. A lane that stays is not touched.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog

from sink import metrics
from sink.assignor import LaneName
from sink.landing import Landing

log = structlog.get_logger()


class Lanes:
    """Landings by lane, each with its task."""

    def __init__(self, make: Callable[[LaneName], Landing], tasks: asyncio.TaskGroup) -> None:
        """`make` gives a landing that has not begun; its task belongs to `tasks`."""
        self._make = make
        self._tasks = tasks
        self._running: dict[LaneName, tuple[Landing, asyncio.Task[None]]] = {}
        self._topics: set[str] = set()

    @property
    def landings(self) -> list[Landing]:
        """Of the lanes that are ours, in the order of their names."""
        return [self._running[name][0] for name in sorted(self._running)]

    def give(self, names: frozenset[LaneName]) -> None:
        """Exactly these lanes are ours from now on. Does not suspend."""
        for name in self._running.keys() - names:
            landing, task = self._running.pop(name)
            task.cancel()
            metrics.LAG_RECORDS.labels(name[0], str(name[1])).set(0)
            log.info("lane_released", topic=name[0], lane=name[1])
        for name in sorted(names - self._running.keys()):
            landing = self._make(name)
            self._running[name] = landing, self._tasks.create_task(landing.run())

    async def flush(self) -> None:
        """Suspends until each lane has landed, or dropped, what it held when this was called."""
        await asyncio.gather(*(landing.flush() for landing in self.landings))

    async def end(self, seconds_max: float) -> list[dict[str, Any]]:
        """Land what is held and end all landings, those that are late too; gives what was not landed."""
        for landing in self.landings:
            landing.end()
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds_max)
        late = [landing.unlanded() for landing, task in self._running.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return [left for left in late if left["records"]]

    def measure(self) -> None:
        """Set the gauges that tell of lanes."""
        for (topic, number), (landing, _) in self._running.items():
            metrics.LAG_RECORDS.labels(topic, str(number)).set(landing.progress.lag_records)
        stopped = Counter(landing.topic for landing in self.landings if landing.stopped)
        self._topics |= {landing.topic for landing in self.landings}
        for topic in self._topics:
            metrics.LANES_STOPPED.labels(topic).set(stopped[topic])
