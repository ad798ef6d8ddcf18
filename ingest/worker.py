"""One collector worker: puts all stages together, serves the supervisor's socket, stops in a written order.

Takes the settings, the client options of Kafka, a listening socket and the status pipe. It stops on SIGTERM:
1. accept no connection and answer what runs, 2. flush the rounds, 3. end the producer, 4. say what is left.
The socket is the supervisor's: connections that wait in its queue are served by the successor.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import structlog
import uvicorn
import uvloop
from aiokafka.errors import KafkaError

from _native.batch import RecordBatch
from _native.record import TOPIC_QUARANTINE
from ingest import metrics, topics
from ingest.app import build_app
from ingest.door import Door
from ingest.produce import Producer
from ingest.protocol import HotProtocol
from ingest.rounds import Rounds
from ingest.settings import IngestSettings, TopicSettings
from ingest.status import StatusPipe, status_of
from ingest.sweeper import Sweeper

ZSTD_LEVEL: Final = 1
STATUS_SECONDS: Final = 1.0
INSPECT_SECONDS: Final = 60.0
ANSWER_SECONDS_MAX: Final = 5.0  # beyond produce_timeout_seconds, for requests that run when the stop comes
FLUSH_SECONDS_MAX: Final = 2.0  # requests wait for their rounds, so little is left when they are answered
BACKLOG: Final = 2048
COLLECT_OBJECTS: Final = 100_000

log = structlog.get_logger()


def serve(
    settings: IngestSettings,
    client_options: Mapping[str, Any],
    listener: socket.socket,
    status_fd: int | None,
) -> None:
    """Run one worker until SIGTERM; SIGINT is ignored: the supervisor, which gets it too, stops in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvloop.run(Worker(settings, client_options, status_fd).run(listener))


class Worker:
    """The parts of one worker and the tasks that keep them going."""

    def __init__(
        self, settings: IngestSettings, client_options: Mapping[str, Any], status_fd: int | None
    ) -> None:
        self._settings = settings
        self._options = client_options
        self._sources = {source.topic for source in settings.sources.values()}
        self._topics = {
            name: settings.topics.get(name, TopicSettings())
            for name in sorted(self._sources | {TOPIC_QUARANTINE})
        }
        self._findings: list[topics.Finding] = []
        self._stopping = False
        self._pipe = StatusPipe(status_fd)
        self._producer = Producer(
            client_options,
            self._prepare,
            produce_timeout_seconds=settings.produce.produce_timeout_seconds,
            clock_us=_clock_us,
            changed=self._say,
        )
        self._rounds = Rounds(
            self._producer,
            partial(_new_batch, settings.produce.compression),
            batch_bytes_max=settings.collector.batch_bytes_max,
            pending_bytes_max=settings.collector.pending_bytes_max,
            produce_timeout_seconds=settings.produce.produce_timeout_seconds,
        )

    async def run(self, listener: socket.socket) -> None:
        """Serve until SIGTERM, then stop in order."""
        door = Door(self._settings, self._rounds, _clock_us, os.urandom(8))
        sweeper = Sweeper()
        protocol = partial(HotProtocol, door=door, limits=self._settings.limits, sweeper=sweeper)
        server = _Server(_http_config(self._settings, build_app(door), protocol))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop, server)
        async with asyncio.TaskGroup() as tasks:
            producing = tasks.create_task(self._producer.run(), name="producer")
            gathering = tasks.create_task(self._rounds.run(), name="rounds")
            telling = [tasks.create_task(one) for one in (self._tell(), self._inspect(), sweeper.run())]
            log.info("worker_started", pid=os.getpid(), topics=sorted(self._topics))
            _spare_collections()
            await server.serve(sockets=[listener])
            left = await self._rounds.flush(FLUSH_SECONDS_MAX)
            door.flush_counts()
            for task in (*telling, gathering, producing):
                task.cancel()
        self._say(records_not_flushed=left)
        if left:
            log.error("worker_stopped", records_not_flushed=left)
        else:
            log.info("worker_stopped", records_not_flushed=0)

    def _stop(self, server: uvicorn.Server) -> None:
        self._stopping = True
        server.should_exit = True
        self._say()

    async def _prepare(self) -> dict[str, int]:
        states = await topics.ensure(
            self._options, self._topics, batch_bytes_max=self._settings.collector.batch_bytes_max
        )
        self._judge(states)
        return topics.usable(states)

    async def _inspect(self) -> None:
        """Make sure of the topics each minute; somebody may have changed or deleted one."""
        while True:
            await asyncio.sleep(INSPECT_SECONDS)
            try:
                await self._producer.refresh()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("topics_not_read", error=type(error).__name__)

    def _judge(self, states: Mapping[str, topics.TopicState]) -> None:
        found = topics.judge(states, self._topics)
        if found != self._findings:
            self._findings = found
            for item in found:
                log.warning("topic_differs", topic=item.topic, code=item.code, text=item.text)
            self._say()

    async def _tell(self) -> None:
        while True:
            self._say()
            await asyncio.sleep(STATUS_SECONDS)

    def _say(self, **more: int) -> None:
        status = status_of(self._producer.kafka, self._findings, self._sources, stopping=self._stopping)
        metrics.WORKERS_READY.set(status["ready"])
        self._pipe.write({**status, **more})


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: they would end on SIGINT and raise SIGTERM again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _http_config(settings: IngestSettings, app: Any, protocol: Any) -> uvicorn.Config:
    collector, limits = settings.collector, settings.limits
    return uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(limits.idle_seconds_max),
        timeout_graceful_shutdown=int(settings.produce.produce_timeout_seconds + ANSWER_SECONDS_MAX),
        ssl_certfile=collector.tls_cert,
        ssl_keyfile=collector.tls_key,
    )


def _spare_collections() -> None:
    """Have the cyclic collector look seldom, and never again at what the start has made.

    A request makes no cycles: counting references frees all of it. But its objects live until its round is in
    the log, so with thousands waiting the collector would walk through them again and again. Cycles come from
    errors with tracebacks and lost connections; COLLECT_OBJECTS more objects are at most some MiB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_OBJECTS, *gc.get_threshold()[1:])


def _new_batch(compression: str, bytes_max: int) -> RecordBatch:
    return RecordBatch(compression, bytes_max, ZSTD_LEVEL)


def _clock_us() -> int:
    return time.time_ns() // 1000
