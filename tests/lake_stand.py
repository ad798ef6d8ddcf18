"""A lake for tests: stores in a directory and on moto, rows without Kafka, a caller that dies where told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from moto.server import ThreadedMotoServer

from _native.columns import QUARANTINE, Fed
from sink.commit_log import claim_lake, claim_topic
from sink.lane import Lane
from sink.settings import LakeSettings
from sink.store import Store, open_store
from sink.verify import Report, verify

T = TypeVar("T")
TOPIC_ID = "4pVtcM1bSZaF5m0hRHxqKw"
HOUR = 472_222  # 2023-11-14T22
FILLER: Mapping[str, Any] = {
    "text": b"x",
    "bytes": None,
    "int32": 0,
    "int64": 0,
    "time": HOUR * 3_600_000_000,
    "map": (),
}
THREADS = ThreadPoolExecutor(2)
BUCKETS = count(1)  # moto's buckets belong to the process: a second server shows those of the first


def run(work: Coroutine[Any, Any, T]) -> T:
    """A test's coroutine, with a bound."""

    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await work

    return asyncio.run(bounded())


class S3Stand:
    """moto's S3 on loopback; each lake has a bucket of its own."""

    def __init__(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("AWS_ACCESS_KEY_ID", "test")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testtest")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.endpoint_url = f"http://127.0.0.1:{self._server.get_host_and_port()[1]}"
        self.client = boto3.client("s3", endpoint_url=self.endpoint_url, region_name="us-east-1")

    def settings(self, seconds_max: float = 5) -> LakeSettings:
        bucket = f"lake{next(BUCKETS)}"
        self.client.create_bucket(Bucket=bucket)
        return LakeSettings(
            url=f"s3://{bucket}/below/here",
            endpoint_url=self.endpoint_url,
            region="us-east-1",
            request_seconds_max=seconds_max,
        )

    def stop(self) -> None:
        self.client.close()
        self._server.stop()


def local_settings(folder: Path) -> LakeSettings:
    return LakeSettings(url=f"file://{folder}/lake")


@asynccontextmanager
async def opened(settings: LakeSettings, lanes: int = 1) -> AsyncIterator[Store]:
    """A store in which the topic `events` was claimed."""
    store = open_store(settings)
    try:
        await claim_lake(store)
        await claim_topic(store, "events", lanes, 1)
        yield store
    finally:
        await store.close()


def make_lane(store: Store, lane: int = 0, lanes: int = 1, writer: str = "one") -> Lane:
    return Lane(
        store, "events", lane, lanes, grace_us=300_000_000, writer=writer, now_us=lambda: 7, threads=THREADS
    )


def row_at(partition: int, offset: int, incarnation: int = 0) -> list[Any]:
    """Values of a row, in the order of the columns."""
    values: list[Any] = [FILLER[column.kind] for column in QUARANTINE]
    values[20], values[21], values[22] = incarnation, partition, offset
    return values


def feed(
    lane: Lane,
    partition: int,
    rows: int,
    *,
    hour: int = HOUR,
    quarantined: int = 0,
    skipped: int = 0,
    epoch: int = 1,
) -> None:
    """What a decoder makes of batches: rows, then quarantined ones, then skipped offsets."""
    before = lane.position(partition)
    for offset in range(before.next, before.next + rows + quarantined):
        table = lane.table_of(hour, offset >= before.next + rows)
        table.append(row_at(partition, offset, before.incarnation))
    next_ = before.next + rows + quarantined
    fed = Fed(next_ + skipped, rows, quarantined, last_batch=(before.next, epoch))
    fed.skipped = [(next_, next_ + skipped, "control")] if skipped else []
    fed.hours = {hour: rows} if rows else {}
    lane.note(partition, fed)


async def prove(store: Store, **more: Any) -> Report:
    return await verify(store, appear_seconds_max=0, **more)


async def keys(store: Store, prefix: str = "") -> list[str]:
    return [listed.key async for listed in store.list(prefix)]


async def uploads(store: Store, prefix: str = "") -> list[str]:
    return [upload.key async for upload in store.uploads(prefix)]


class Stopped(Exception):
    """The process was killed here."""


class StoppingStore:
    """A store whose caller dies at its nth change: before it is done, or after it without the answer."""

    CHANGES = ("create_once", "settle", "upload", "complete", "abort", "delete")

    def __init__(self, store: Store, nth: int, *, done: bool) -> None:
        self._store = store
        self._nth = nth
        self._done = done
        self.changes: list[str] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name not in self.CHANGES:
            return method

        async def change(*args: Any) -> Any:
            self.changes.append(name)
            if len(self.changes) < self._nth:
                return await method(*args)
            if self._done and len(self.changes) == self._nth:
                await method(*args)
            raise Stopped(f"{name}, change {self._nth}")

        return change
