"""`headrace collect` and `headrace sink`, as in production: takes settings, runs until SIGTERM or SIGINT.

`serve` is what they share with `headrace up`: supervisor, admin port, and what runs beside them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from socket import socket
from typing import Final

import structlog

from headrace.errors import SettingsError
from headrace.kafka_client import client_options
from headrace.logs import log_json
from headrace.settings import Settings
from headrace.stack import programs
from headrace.stack.admin import AdminServer, Remarks, build_app
from headrace.stack.measures import Measures
from headrace.stack.ports import listener, listeners
from headrace.stack.process import Program
from headrace.stack.supervisor import Supervisor, attend_signals

LOOPBACK: Final = "127.0.0.1"

Beside = Callable[[Supervisor, Measures], Awaitable[None]]

log = structlog.get_logger()


def serve(
    stages: Sequence[Sequence[Program]],
    admin: socket,
    measures: Measures,
    remarks: Remarks = list,
    beside: Sequence[Beside] = (),
) -> list[str]:
    """Run until the stop is asked for and everything has ended; what was not flushed, in words. Blocks."""

    async def main() -> list[str]:
        supervisor = Supervisor(stages, ended=measures.fold)
        attend_signals(supervisor)
        server = AdminServer(build_app(supervisor, measures, remarks))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run_on(admin))
            running = [tasks.create_task(_await(each(supervisor, measures))) for each in beside]
            left = await supervisor.run()
            for task in running:
                task.cancel()
            server.should_exit = True
        return left

    return asyncio.run(main())


def collect(settings: Settings) -> None:
    """Collector workers on one port, with an outside Kafka. Blocks; HeadraceError for what is missing."""
    client_options(settings.kafka)
    if not settings.sources:
        raise SettingsError("config_invalid", "no source: nobody could send; expected [sources.NAME]")
    for key in ("tls_cert", "tls_key"):
        path = getattr(settings.collector, key)
        if path is not None and not path.is_file():
            raise SettingsError("config_invalid", f"collector.{key} = {str(path)!r}: no such file")
    collector = settings.collector
    sockets = listeners(
        collector.host,
        collector.port,
        collector.workers,
        "port in [collector] (or HEADRACE__COLLECTOR__PORT)",
    )
    admin = listener(LOOPBACK, collector.admin_port, "admin_port in [collector]")
    log_json(sys.stderr, role="supervisor")
    log.info("collector_listening", host=collector.host, port=sockets[0].getsockname()[1])
    _run(lambda folder: programs.collectors(settings, sockets, folder, None), admin)


def sink(settings: Settings) -> None:
    """One sink, with an outside Kafka. Blocks; HeadraceError for what is missing."""
    client_options(settings.kafka)
    if not settings.lake.url:
        raise SettingsError(
            "config_invalid", "lake.url is not set; expected s3://bucket/prefix or file:///path"
        )
    admin = listener(LOOPBACK, settings.sink.admin_port, "admin_port in [sink]")
    log_json(sys.stderr, role="supervisor")
    _run(lambda folder: [programs.sink(settings, folder, None)], admin)


def _run(stage: Callable[[Path], list[Program]], admin: socket) -> None:
    log.info("admin_listening", port=admin.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        for words in serve([stage(Path(folder))], admin, Measures(Path(folder))):
            log.error("stopped_unclean", text=words)
    log.info("stopped")


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable
