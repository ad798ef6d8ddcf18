"""One contract, both stores: a local directory, and S3 as moto answers it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from sink.settings import LakeSettings
from sink.store import PART_BYTES, Created, Exists, Store, open_store
from sink.store.probe import probe

KEY = "_headrace/commits/events/0/00000000000000000000.json"
FILE = "events/date=2026-11-23/hour=10/0-0-a.parquet"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["local", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeSettings:
    if request.param == "local":
        return LakeSettings(url=f"file://{tmp_path}/lake")
    endpoint = request.getfixturevalue("endpoint")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testtest")
    bucket = "b" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=bucket)
    return LakeSettings(url=f"s3://{bucket}/some/prefix", endpoint_url=endpoint, region="us-east-1")


def on(lake: LakeSettings, what: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        store = open_store(lake)
        try:
            await what(store)
        finally:
            await store.close()

    asyncio.run(run())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_g3_a_key_is_created_once_and_only_its_content_decides(lake: LakeSettings) -> None:
    async def what(store: Store) -> None:
        assert await store.create_once(KEY, b"ours") == Created()
        assert await store.create_once(KEY, b"ours") == Created()
        assert await store.create_once(KEY, b"another's") == Exists(b"ours")
        assert await store.read(KEY) == b"ours"

    on(lake, what)


def test_g3_of_eight_that_race_one_wins(lake: LakeSettings) -> None:
    async def what(store: Store) -> None:
        raced = await asyncio.gather(*(store.create_once(KEY, b"%d" % writer) for writer in range(8)))
        assert [type(outcome) for outcome in raced].count(Created) == 1
        winner = await store.read(KEY)
        assert {outcome.data for outcome in raced if isinstance(outcome, Exists)} == {winner}

    on(lake, what)


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1])
def test_g3_an_upload_is_invisible_until_it_is_completed(lake: LakeSettings, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    async def what(store: Store) -> None:
        upload = await store.upload(FILE, data, digest(data))
        assert await store.head(FILE) is None
        assert [found.key async for found in store.list("events/")] == []
        assert await store.complete(upload) == "completed"
        head = await store.head(FILE)
        assert head is not None
        assert head.size == size
        assert await store.read(FILE) == data
        await store.complete(upload)  # once more, by the next owner
        assert [(found.key, found.size) async for found in store.list("events/")] == [(FILE, size)]
        assert await store.read_tail(FILE, 1) == data[-1:]

    on(lake, what)


def test_an_aborted_upload_is_gone_and_a_deleted_key_too(lake: LakeSettings) -> None:
    async def what(store: Store) -> None:
        upload = await store.upload(FILE, b"data", digest(b"data"))
        await store.abort(upload)
        await store.abort(upload)
        if not store.url.startswith("s3:"):  # moto answers 500 to this, where S3 says NoSuchUpload
            assert await store.complete(upload) == "gone"
        assert await store.head(FILE) is None
        await store.create_once(KEY, b"x")
        await store.delete(KEY)
        await store.delete(KEY)
        assert await store.read(KEY) is None

    on(lake, what)


def test_the_probe_takes_an_honest_store_and_leaves_nothing(lake: LakeSettings) -> None:
    async def what(store: Store) -> None:
        await probe(store)
        assert [found.key async for found in store.list("_headrace/")] == []

    on(lake, what)
