"""`make bench`: starts a Kafka of its own, makes the requests, runs the rows of the bench, keeps the result.

    python -m headrace.bench [--rows NAMES] [--rounds N] [--json FILE]

The measuring itself is `loadtest.bench`, a black box that knows nothing of ours but its command line.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
import uvloop
from rich.console import Console

from headrace.stack import broker, jars
from loadtest.bench import Bench, RowResult, document, table
from loadtest.bench_collector import CollectorRow, filled
from loadtest.bodies import Request, requests
from loadtest.contender import listed
from loadtest.sessions import stream

KEY: Final = "demo"
BEGINS_US: Final = 1_795_000_000_000_000  # event times depend on nothing but the seed
SESSIONS_PER_SECOND: Final = 50.0
EVENT_BYTES: Final = 411  # the size that the project's figures are quoted for
POOL_EVENTS: Final = 8000
SINK_EVENTS: Final = 1_000_000
WIDTH_MIN: Final = 120
ANSWER_SECONDS: Final = 0.1

app = typer.Typer(add_completion=False)


@app.command()
def main(
    rows: Annotated[str, typer.Option(help="rows to measure, comma between several; empty: all")] = "",
    rounds: Annotated[int, typer.Option(min=1, max=50, help="runs of each contender and row")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="length of one run of a collector")] = 6.0,
    seed: Annotated[int, typer.Option(help="the same seed sends the same bytes")] = 7,
    sink_events: Annotated[int, typer.Option(min=1000, help="records that the sinks land")] = SINK_EVENTS,
    json: Annotated[Path | None, typer.Option(help="file for all runs as JSON")] = None,
) -> None:
    """Ours beside the straightforward reference, in turn, on one real Kafka of this machine."""
    console = Console(width=None if Console().width > WIDTH_MIN else WIDTH_MIN)
    chosen = [name for name in rows.split(",") if name]
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, kafka(Path(folder)) as servers:
        bench = Bench(servers, Path(folder), rounds, seed, console)
        results = uvloop.run(measured(bench, chosen, seconds, sink_events))
    console.print(table(results))
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        json.write_bytes(orjson.dumps(document(results, seed), option=orjson.OPT_INDENT_2))
        console.print(f"all runs: {json}")


async def measured(bench: Bench, chosen: Sequence[str], seconds: float, sink_events: int) -> list[RowResult]:
    """The rows that are asked for, one after the other."""
    collectors, sinks = listed("collectors"), listed("sinks")
    results = []
    for row in collector_rows(bench.seed, seconds):
        if not chosen or row.name in chosen:
            results.append(await bench.collectors(row, list(collectors.values())))
    if not chosen or "sink" in chosen:
        topic = f"bench-sink-{secrets.token_hex(4)}"
        source = collector_rows(bench.seed, seconds)[0]
        await filled(
            collectors["headrace"], source, bench.kafka, topic, bench.folder, bench.seed, sink_events
        )
        results.append(await bench.sinks("sink", topic, list(sinks.values())))
    return results


def collector_rows(seed: int, seconds: float) -> list[CollectorRow]:
    """The canonical set: batches of 100 with zstd and lz4, and single events."""
    hundred, one = made(seed, 100), made(seed, 1)
    return [
        CollectorRow("batch-100-zstd", hundred, 100, "zstd", connections=32, seconds=seconds),
        CollectorRow("batch-100-lz4", hundred, 100, "lz4", connections=32, seconds=seconds),
        CollectorRow("single-zstd", one, 1, "zstd", connections=256, seconds=seconds),
    ]


def made(seed: int, batch_events: int) -> list[Request]:
    """Segment requests of POOL_EVENTS events of about EVENT_BYTES, 10,000 users by Zipf."""
    events = stream(seed, SESSIONS_PER_SECOND, BEGINS_US, event_bytes=EVENT_BYTES)
    return list(requests(islice(events, POOL_EVENTS), "segment", KEY, batch_events))


@contextmanager
def kafka(folder: Path) -> Iterator[str]:
    """A broker of its own for as long as the block lasts: its bootstrap servers."""
    made_ready = broker.prepare(folder / "kafka", jars.class_path())
    with (folder / "kafka.stderr").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            made_ready.argv(), env=made_ready.env(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        asyncio.run(answered(made_ready, process))
        yield made_ready.bootstrap_servers
    finally:
        process.terminate()
        try:
            process.wait(broker.STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def answered(made_ready: broker.Broker, process: subprocess.Popen[bytes]) -> None:
    """Suspends until Kafka answers; HeadraceError with what its log says where it ends instead."""
    async with asyncio.timeout(broker.START_SECONDS_MAX):
        while not await broker.answering("127.0.0.1", made_ready.ports.broker):
            if process.poll() is not None:
                raise broker.diagnosis(made_ready)
            await asyncio.sleep(ANSWER_SECONDS)


if __name__ == "__main__":
    app()
