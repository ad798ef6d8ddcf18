"""The sink's program: puts all stages together, runs until SIGTERM, stops in a written order.

Takes the settings, the client options of Kafka and the status pipe. It begins by opening the lake (probed,
its format and each topic's lanes claimed), then joins the group and lands what it is given. What may pass
(Kafka or the store away, a topic that is not there yet) is waited out and told; what will not is told in one
line, and the exit code is 1. It stops on SIGTERM:
1. take no lanes any more, 2. land what is held, within a deadline, 3. tell Kafka the offsets and leave the
group, 4. say what was not landed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog
import uvloop

from sink import metrics
from sink.assignor import LaneName
from sink.budget import Budget
from sink.commit_log import claim_lake, claim_topic
from sink.errors import BrokerError, SinkError
from sink.fetch import Fetcher
from sink.kafka_log import KafkaLog
from sink.landing import Landing
from sink.lane import Lane
from sink.lanes import Lanes
from sink.membership import Membership
from sink.settings import LandSettings
from sink.status import StatusPipe, status_of
from sink.store import Store, open_store
from sink.store.probe import probe
from sink.topic_log import TopicLog

STATUS_SECONDS: Final = 1.0
METADATA_SECONDS: Final = 2.0  # how soon a new topic, a new Kafka partition or a lost Kafka is seen
OPEN_SECONDS: Final = 2.0  # between two attempts to open the lake
STOP_SECONDS_MAX: Final = 10.0  # to land what is held
THREADS_MIN: Final = 2  # decode and Parquet
FAILED: Final = 1

log = structlog.get_logger()


def serve(settings: LandSettings, client_options: Mapping[str, Any], status_fd: int | None) -> None:
    """Run the sink until SIGTERM; SIGINT is ignored: the supervisor, which gets it too, stops in order.

    SystemExit 1 where a person is needed before anything can be landed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def run() -> SinkError | None:
        return await Program(settings, client_options, status_fd, open_store(settings.lake)).run()

    failure = uvloop.run(run())
    if failure is not None:
        raise SystemExit(FAILED)


class Program:
    """The parts of one sink and the tasks that keep them going; belongs to one event loop."""

    def __init__(
        self,
        settings: LandSettings,
        client_options: Mapping[str, Any],
        status_fd: int | None,
        store: Store,
    ) -> None:
        """`store` is closed at the end."""
        self._settings = settings
        self._options = client_options
        self._pipe = StatusPipe(status_fd)
        self._store = store
        told = f"the lake at {store.url} is being opened"
        self._problem: SinkError | None = SinkError("store_unavailable", told, retriable=True)
        """Of the program as a whole; those of lanes are with them."""
        self._stopping = asyncio.Event()
        self._claimed: set[str] = set()
        self._writer = f"{socket.gethostname()}:{os.getpid()}"
        self._threads = ThreadPoolExecutor(max(THREADS_MIN, os.cpu_count() or 1), "columns")
        self._kafka = KafkaLog(client_options, settings.tables, now_us=_clock_us)
        self._budget = Budget(settings.sink.memory_bytes_max)
        self._lanes: Lanes | None = None
        self._membership = Membership(
            client_options,
            settings.sink.group,
            {topic: table.lanes for topic, table in settings.tables.items()},
            given=self._given,
            flush=self._flush,
        )

    async def run(self) -> SinkError | None:
        """Land until SIGTERM, then stop in order. Gives what a person must see to first, else None."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        log.info("sink_started", pid=os.getpid(), lake=self._store.url, topics=sorted(self._settings.tables))
        telling = asyncio.create_task(self._tell())  # style: cancelled below, whatever happens
        try:
            if await self._open():
                await self._land()
        except SinkError as error:
            self._problem = error
            log.error("sink_failed", code=error.code, reason=str(error))
        finally:
            telling.cancel()
            self._say()
            await self._kafka.close()
            await self._store.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
        log.info("sink_stopped")
        return self._problem if not self._stopping.is_set() else None

    async def _open(self) -> bool:
        """Whether the store is safe and the lake one that we know, else SinkError; False: told to stop."""
        while not self._stopping.is_set():
            try:
                await probe(self._store)
                await claim_lake(self._store)
            except SinkError as error:
                if not error.retriable:
                    raise
                self._note(error)
                await self._rest(OPEN_SECONDS)
            else:
                self._note(None)
                return True
        return False

    async def _land(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._lanes = Lanes(self._landing, tasks)
            joining = tasks.create_task(self._membership.run())
            failure: SinkError | None = None
            try:
                while not self._stopping.is_set():
                    await self._look_at_topics()
                    await self._rest(METADATA_SECONDS)
            except SinkError as error:
                failure = error
            await self._end(self._lanes, joining)
        if failure is not None:
            raise failure

    async def _look_at_topics(self) -> None:
        """See which topics there are, claim each once, ask the group for its lanes."""
        try:
            found = await self._kafka.refresh()
            for topic in sorted(found.keys() - self._claimed):
                lanes = self._settings.tables[topic].lanes
                await claim_topic(self._store, topic, lanes, _clock_us())
                self._claimed.add(topic)
        except BrokerError:
            return  # the Kafka of the status line says it
        except SinkError as error:
            if not error.retriable:
                raise
            self._note(error)
            return
        self._note(None)
        if self._claimed:
            self._membership.subscribe(self._claimed)

    async def _end(self, lanes: Lanes, joining: asyncio.Task[None]) -> None:
        self._membership.close()
        for left in await lanes.end(STOP_SECONDS_MAX):
            log.error("records_not_landed", **left)
        await self._membership.send_hints()
        joining.cancel()

    def _given(self, names: frozenset[LaneName]) -> None:
        assert self._lanes is not None
        self._lanes.give(names)
        self._say()

    async def _flush(self) -> None:
        assert self._lanes is not None
        await self._lanes.flush()

    def _landing(self, name: LaneName) -> Landing:
        topic, number = name
        table = self._settings.tables[topic]
        lane = Lane(
            self._store,
            topic,
            number,
            table.lanes,
            grace_us=int(table.seal_grace_seconds * 1_000_000),
            writer=self._writer,
            now_us=_clock_us,
            threads=self._threads,
            columns=table.promoted,
        )
        return Landing(
            lane,
            TopicLog(self._kafka, topic),
            Fetcher(self._kafka, topic, number, bytes_max=self._settings.sink.fetch_bytes_max),
            table,
            self._budget,
            now_us=_clock_us,
            threads=self._threads,
            tell=self._membership.tell,
        )

    def _stop(self) -> None:
        self._stopping.set()
        self._say()

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    def _note(self, problem: SinkError | None) -> None:
        if problem is not None and str(problem) != str(self._problem):
            log.warning("sink_waited", code=problem.code, reason=str(problem))
        self._problem = problem

    async def _tell(self) -> None:
        while True:
            self._say()
            await asyncio.sleep(STATUS_SECONDS)

    def _say(self) -> None:
        status = status_of(
            self._settings,
            self._problem,
            self._kafka,
            self._membership,
            self._lanes.landings if self._lanes is not None else [],
            claimed=self._claimed,
            stopping=self._stopping.is_set(),
        )
        metrics.SINKS_READY.set(status["ready"])
        metrics.BUFFERED_BYTES.set(self._budget.nbytes)
        if self._lanes is not None:
            self._lanes.measure()
        self._pipe.write(status)


def _clock_us() -> int:
    return time.time_ns() // 1000
