"""The reference: a sink as one would write it in an afternoon with aiokafka, orjson and pyarrow.

`getmany`, `orjson.loads`, `pyarrow.Table.from_pylist`, `write_table`, then a commit of the offsets: at least
once, no proof of anything. Event columns and the Kafka place are kept, the payload as text, by receive hour.
It exists to be measured against, in the same run as ours.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRecord

POLL_MS = 200
RECORDS_MAX = 50_000
FILE_ROWS = 200_000
FETCH_BYTES_MAX = 8 << 20

SCHEMA = pa.schema(
    [
        ("event_id", pa.utf8()),
        ("event_type", pa.utf8()),
        ("event_name", pa.utf8()),
        ("user_id", pa.utf8()),
        ("anonymous_id", pa.utf8()),
        ("event_time", pa.utf8()),
        ("received_at", pa.timestamp("us", tz="UTC")),
        ("payload", pa.utf8()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
    ]
)


def row(record: ConsumerRecord) -> dict[str, Any]:
    """One landed row; our collector gives the receive time in a header, the reference in the payload."""
    event = orjson.loads(record.value)
    received_us = event.get("received_at") or int.from_bytes(dict(record.headers).get("hr_time", b""), "big")
    return {
        "event_id": event.get("messageId"),
        "event_type": event.get("type"),
        "event_name": event.get("event"),
        "user_id": event.get("userId"),
        "anonymous_id": event.get("anonymousId"),
        "event_time": event.get("timestamp"),
        "received_at": datetime.fromtimestamp(received_us / 1e6, UTC),
        "payload": record.value.decode(),
        "kafka_partition": record.partition,
        "kafka_offset": record.offset,
    }


def land(lake: Path, rows: list[dict[str, Any]], number: int) -> None:
    """Write one file an hour."""
    by_hour: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in rows:
        by_hour[one["received_at"].strftime("date=%Y-%m-%d/hour=%H")].append(one)
    for hour, some in by_hour.items():
        folder = lake / hour
        folder.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(some, schema=SCHEMA)
        temporary = folder / f".{os.getpid()}-{number}.parquet"
        pq.write_table(table, temporary, compression="zstd", compression_level=1)
        temporary.rename(folder / f"{os.getpid()}-{number}.parquet")


async def run(kafka: str, topic: str, lake: Path) -> None:
    """Land until SIGTERM; what is read then is landed and committed."""
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id="reference-sink",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_bytes=FETCH_BYTES_MAX,
        max_partition_fetch_bytes=FETCH_BYTES_MAX,
    )
    rows: list[dict[str, Any]] = []
    number = 0
    async with consumer:
        while not ending.is_set():
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            for records in found.values():
                rows.extend(map(row, records))
            if rows and (len(rows) >= FILE_ROWS or not found):
                await asyncio.to_thread(land, lake, rows, number)
                await consumer.commit()
                rows, number = [], number + 1
        if rows:
            await asyncio.to_thread(land, lake, rows, number)
            await consumer.commit()


def main() -> None:
    """`python -m loadtest.reference_sink --kafka HOST:PORT --topic NAME --lake DIR`; ends with SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--lake", type=Path, required=True)
    given = parser.parse_args()
    uvloop.run(run(given.kafka, given.topic, given.lake))


if __name__ == "__main__":
    main()
