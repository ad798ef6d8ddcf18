"""`headrace up`: everything on one machine. Takes options, runs until Ctrl-C, goes on where it stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from socket import socket
from typing import Final, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from headrace.kafka_client import client_options
from headrace.logs import log_json
from headrace.settings import Settings, load
from headrace.spelling import command
from headrace.stack import broker as kafka
from headrace.stack import jars, programs
from headrace.stack.arrivals import Arrivals
from headrace.stack.broker import Broker
from headrace.stack.datadir import FREE_BYTES_LOW, DataDir
from headrace.stack.filling import DATA_DEFAULT, DEMO, Options, demo_key, fill, is_loopback, with_kafka
from headrace.stack.log_file import LogFile, LogStream
from headrace.stack.measures import Measures
from headrace.stack.ports import free_port, is_free, listener, listeners
from headrace.stack.process import Program
from headrace.stack.ready_file import ReadyFile
from headrace.stack.screen import Places, Screen, sentence
from headrace.stack.service import LOOPBACK, Beside, serve
from headrace.stack.supervisor import Supervisor
from ingest.settings import CollectorSettings

PORT_ADVICE: Final = "--port N"
QUERY: Final = "select event_type, count(*) from {topic} group by all order by 2 desc"
EVENT: Final = '{"type":"hello"}'
DEMO_SESSIONS_PER_SECOND: Final = 4.0  # of about five events each


def up(options: Options) -> None:
    """Run the stack. Blocks; HeadraceError for what a person can mend."""
    console = Console()
    data = DataDir(options.data)
    settings = fill(load(options.config), options, data.root)
    collector = settings.collector
    listener(collector.host, collector.port, PORT_ADVICE).close()  # said before anything is downloaded
    data.open()
    try:
        with _logging(data.folder("logs") / "supervisor.log"):
            broker = None if settings.kafka.bootstrap_servers else _prepare(data, console)
            _run(settings, options, data, broker, console)
    finally:
        data.close()


def _run(
    settings: Settings, options: Options, data: DataDir, broker: Broker | None, console: Console
) -> None:
    if broker is not None:
        settings = with_kafka(settings, broker.bootstrap_servers)
    client_options(settings.kafka)  # what is missing for a login or TLS is said here
    logs, measures = data.folder("logs"), Measures(data.folder("run/metrics"))
    collector = settings.collector
    sockets = listeners(collector.host, collector.port, collector.workers, PORT_ADVICE)
    admin = _admin(settings)
    places = _places(settings, options, data, sockets[0], admin, own_kafka=broker is not None)
    stages: list[list[Program]] = [] if broker is None else [[programs.own_kafka(broker, logs)]]
    stages.append(
        [
            *programs.collectors(settings, sockets, measures.folder, logs),
            programs.sink(settings, measures.folder, logs),
        ]
    )
    sources = tuple(sorted({source.topic for source in settings.sources.values()}))
    told = partial(remarks, data)
    arrivals = Arrivals(settings.lake.url, sources) if options.demo else None
    screen = Screen(places, console, arrivals, told)
    ready_file = _ready_file(places, options, data)
    beside: list[Beside] = [partial(_keep_ready_file, ready_file), screen.show]
    if options.demo:
        beside.append(partial(_demo, places.collector_url, demo_key(settings)))
    left = serve(stages, admin, measures, told, beside)
    _farewell(console, screen, places, left)


def _prepare(data: DataDir, console: Console) -> Broker:
    """Kafka's jars, downloaded where they are missing, and its folder, ready for a start."""
    bar = Progress(
        TextColumn("Apache Kafka, downloaded once"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("jars", total=None, visible=False)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=True)

        class_path = jars.class_path(progress)
    with console.status("Kafka's folder is made ready"):
        return kafka.prepare(data.folder("kafka"), class_path)


def _admin(settings: Settings) -> socket:
    """The admin port; where it is the default and taken, any free one: two stacks may stand side by side."""
    port = settings.collector.admin_port
    if port == CollectorSettings.model_fields["admin_port"].default and not is_free(port):
        port = free_port()
    return listener(LOOPBACK, port, "admin_port in [collector]")


def _places(
    settings: Settings, options: Options, data: DataDir, door: socket, admin: socket, *, own_kafka: bool
) -> Places:
    collector = settings.collector
    host, scheme = collector.host, "https" if collector.tls_cert else "http"
    host = host if is_loopback(host) else {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104
    url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{door.getsockname()[1]}"
    source = settings.sources.get(DEMO) or next(iter(settings.sources.values()))
    key = "" if source.keyless or not source.write_keys else "-u YOUR_KEY: "
    folder = None if options.data == DATA_DEFAULT else options.data
    topic = source.topic if source.topic.isidentifier() else f'\\"{source.topic}\\"'
    return Places(
        collector_url=url,
        admin_url=f"http://{LOOPBACK}:{admin.getsockname()[1]}",
        kafka=settings.kafka.bootstrap_servers,
        lake=settings.lake.url,
        data=data.root,
        own_kafka=own_kafka,
        send=f"curl {key}{url}/events -H content-type:application/json -d '{EVENT}'",
        query=f'{command("query", data=folder)} "{QUERY.format(topic=topic)}"',
    )


def _ready_file(places: Places, options: Options, data: DataDir) -> ReadyFile:
    """For scripts where they want it, and in the data directory for our own commands."""
    paths = [data.folder("run") / "ready.json", *([options.ready_file] if options.ready_file else [])]
    named = ("collector_url", "admin_url", "kafka", "lake")
    return ReadyFile(paths, {name: getattr(places, name) for name in named})


async def _keep_ready_file(file: ReadyFile, supervisor: Supervisor, measures: Measures) -> None:
    supervisor.on_change(lambda: file.update(supervisor))


async def _demo(url: str, key: str | None, supervisor: Supervisor, measures: Measures) -> None:
    """Realistic sessions, once everything runs, until the stop."""
    from headrace import demo

    ready, stop = asyncio.Event(), asyncio.Event()

    def changed() -> None:
        if supervisor.complete:
            ready.set()
        if supervisor.stopping:
            stop.set()

    supervisor.on_change(changed)
    await ready.wait()
    await demo.run(url, key or "", DEMO_SESSIONS_PER_SECOND, demo.DemoCounts(), stop)


def remarks(data: DataDir) -> list[str]:
    """What a person should know although all is ready."""
    with suppress(OSError):
        free = data.free_bytes()
        if free < FREE_BYTES_LOW:
            free_mib = free >> 26 << 6  # in steps, so that it is not news each second
            return [f"the disk of {data.root} has only {free_mib} MiB free; Kafka stops when it is full"]
    return []


def _farewell(console: Console, screen: Screen, places: Places, left: list[str]) -> None:
    """The last words: what was not flushed, what there is, and how to look at it."""
    for words in left:
        console.print(
            f"Not in order: {words}.", style="yellow", highlight=False, markup=False, soft_wrap=True
        )
    console.print(f"Stopped: {sentence(screen.figures)}.", highlight=False)
    console.print(f"Look at it: {places.query}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _logging(path: Path) -> Iterator[None]:
    """The supervisor's own log; the terminal is for the picture."""
    file = LogFile(path)
    log_json(cast(TextIO, LogStream(file)), role="supervisor")
    try:
        yield
    finally:
        file.close()
