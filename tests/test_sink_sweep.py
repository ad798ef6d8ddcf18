"""Uploads that killed writers left are thrown away, those that somebody may still need are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lake_stand import (
    HOUR,
    TOPIC_ID,
    S3Stand,
    feed,
    keys,
    local_settings,
    make_lane,
    opened,
    prove,
    run,
    uploads,
)

from sink.commit_log import CommitLog
from sink.keys import file_key, hour_text
from sink.lane import Committed
from sink.settings import LakeSettings
from sink.store import Store
from sink.sweep import sweep


@pytest.fixture(scope="module")
def stand() -> Iterator[S3Stand]:
    with pytest.MonkeyPatch.context() as environment:
        stand = S3Stand(environment)
        yield stand
        stand.stop()


@pytest.fixture(params=["local", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, stand: S3Stand) -> LakeSettings:
    return local_settings(tmp_path) if request.param == "local" else stand.settings()


async def left(store: Store, lane: int, sequence: int, attempt: str, *, quarantine: bool = False) -> str:
    """An upload as a killed writer leaves it."""
    table = "quarantine" if quarantine else "rows"
    key = file_key("events", table, hour_text(HOUR), lane, sequence, attempt)
    await store.upload(key, b"rows", "0" * 64)
    return key


def test_g3_only_uploads_whose_entry_is_there_and_names_another_file_are_thrown_away(
    settings: LakeSettings,
) -> None:
    async def story() -> None:
        async with opened(settings, 2) as store:
            lane = make_lane(store, lanes=2)
            await lane.take(TOPIC_ID, {0: 0})
            for _ in range(2):
                feed(lane, 0, 3, quarantined=1)
                assert isinstance(await lane.commit(TOPIC_ID), Committed)
            dead = [
                await left(store, 0, 1, "aa"),
                await left(store, 0, 2, "bb"),
                await left(store, 0, 2, "cc", quarantine=True),
            ]
            alive = [
                await left(store, 0, 3, "dd"),  # its entry is not there: it may be committed yet
                await left(store, 1, 1, "ee"),  # of another lane
                "events-more/date=2023-11-14/hour=22/0-1-ff.parquet",
            ]
            await store.upload(alive[2], b"rows", "0" * 64)  # of another topic
            visible = await keys(store)
            again = make_lane(store, lanes=2, writer="next")
            await again.take(TOPIC_ID, {})
            found = await uploads(store)
            assert sorted(found) == sorted(alive)
            assert not set(dead) & set(found)
            assert await keys(store) == visible
            assert (await prove(store, deep=True)).proved
            feed(again, 0, 1)
            assert isinstance(await again.commit(TOPIC_ID), Committed)
            head = await CommitLog(store, "events", 0).read()
            assert await sweep(store, CommitLog(store, "events", 0), head) == 1, "now entry 3 is another's"
            assert sorted(await uploads(store)) == sorted(alive[1:])

    run(story())


def test_g3_an_upload_that_an_entry_names_stays_until_its_file_is_visible(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = make_lane(store)
            await lane.take(TOPIC_ID, {0: 0})
            feed(lane, 0, 3)
            assert isinstance(await lane.commit(TOPIC_ID), Committed)
            log = CommitLog(store, "events", 0)
            head = await log.read()
            (key,) = head.unseen
            data = await store.read(key)
            assert data is not None
            await store.delete(key)  # as if it had been lost, and somebody was writing it again
            await store.upload(key, data, "0" * 64)
            assert await sweep(store, log, head) == 0
            assert await uploads(store) == [key]
            other = await store.upload(key, data, "0" * 64)
            await store.complete(other)
            assert await sweep(store, log, head) == 1
            assert await uploads(store) == []
            assert await keys(store, "events/") == [key]

    run(story())
