"""A lane: what it lands, and G3 whoever dies, hangs or believes that they own it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_stand import (
    HOUR,
    TOPIC_ID,
    S3Stand,
    Stopped,
    StoppingStore,
    feed,
    keys,
    local_settings,
    make_lane,
    opened,
    prove,
    run,
    uploads,
)

from _native.columns import Fed
from sink.commit_log import CommitLog, Lost
from sink.entry import parse_entry
from sink.errors import LogError, StoreError
from sink.keys import entry_key
from sink.lane import Committed, Lane
from sink.log_head import Position
from sink.settings import LakeSettings
from sink.store import Store, Upload

STARTS = {0: 0, 1: 10}


@pytest.fixture(scope="module")
def stand() -> Iterator[S3Stand]:
    with pytest.MonkeyPatch.context() as environment:
        stand = S3Stand(environment)
        yield stand
        stand.stop()


@pytest.fixture(params=["local", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, stand: S3Stand) -> LakeSettings:
    return local_settings(tmp_path) if request.param == "local" else stand.settings()


async def rows_of(store: Store) -> list[tuple[int, int]]:
    """(Kafka partition, offset) of every row that a reader of the listing sees."""
    found: list[tuple[int, int]] = []
    for key in await keys(store):
        if not key.startswith("_headrace/"):
            data = await store.read(key)
            assert data is not None
            table = pq.read_table(pa.BufferReader(data), columns=["kafka_partition", "kafka_offset"])
            found += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return sorted(found)


async def taken(store: Any, **more: Any) -> Lane:
    lane = make_lane(store, **more)
    await lane.take(TOPIC_ID, STARTS)
    return lane


def test_a_generation_lands_as_a_file_per_hour_and_table_and_one_entry(settings: LakeSettings) -> None:
    async def story() -> None:
        async with opened(settings) as store:
            lane = make_lane(store)
            assert await lane.take(TOPIC_ID, STARTS) == {0: Position(0, 0), 1: Position(0, 10)}
            assert lane.position(7) == Position(0, 0)
            assert lane.opened_us is None
            feed(lane, 0, 5)
            feed(lane, 1, 3, hour=HOUR + 1, quarantined=2, skipped=4)
            assert lane.nbytes == lane.open_nbytes > 0
            assert lane.opened_us == 7
            done = await lane.commit(TOPIC_ID)
            assert isinstance(done, Committed)
            assert (done.sequence, done.rows, done.quarantined, done.skipped, done.files) == (1, 8, 2, 4, 3)
            assert done.positions == {0: Position(0, 5), 1: Position(0, 19)}
            assert lane.nbytes == 0
            files = [key for key in await keys(store) if not key.startswith("_")]
            assert [key.rpartition("/")[0] for key in files] == [
                "events/date=2023-11-14/hour=22",
                "events/date=2023-11-14/hour=23",
                "headrace.quarantine/date=2023-11-14/hour=23",
            ]
            assert files[2].rpartition("/")[2].startswith("events-0-1-")
            report = await prove(store, deep=True)
            assert report.problems == []
            told = {"records": 14, "rows": 8, "files": 3, "gaps": 0, "overlaps": 0}
            assert report.as_json() == {"proved": True, "topics": {"events": told}, "problems": []}

    run(story())


def test_the_entry_says_all_that_the_next_owner_needs(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = await taken(store)
            feed(lane, 0, 2, skipped=1)
            feed(lane, 0, 0, skipped=2)
            feed(lane, 0, 1)
            done = await lane.commit(TOPIC_ID)
            assert isinstance(done, Committed)
            key = entry_key("events", 0, 1)
            data = await store.read(key)
            assert data is not None
            entry = parse_entry(data, key)
            span = entry.offsets[0]
            assert (span.first, span.next, span.skipped, span.last_batch) == (
                0,
                6,
                ((2, 5, "control"),),
                (5, 1),
            )
            assert entry.hours == {"2023-11-14T22": 3}
            assert entry.settings.grace_us == 300_000_000
            assert entry.files[0].offsets == {0: (0, 6, 3)}
            footer = pq.read_metadata(pa.BufferReader(await store.read(entry.files[0].key))).metadata
            assert footer[b"headrace.sequence"] == b"1"

    run(story())


def test_only_offsets_without_rows_are_committed_too(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = await taken(store)
            feed(lane, 0, 0, skipped=3)
            assert isinstance(await lane.commit(TOPIC_ID), Committed)
            assert (await taken(store)).position(0) == Position(0, 3)
            assert (await prove(store)).proved

    run(story())


def test_feeding_goes_on_while_a_commit_is_under_way(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = await taken(store)
            feed(lane, 0, 5)
            async with asyncio.TaskGroup() as group:
                first = group.create_task(lane.commit(TOPIC_ID))
                await asyncio.sleep(0)
                assert lane.committing
                feed(lane, 0, 5)
            assert isinstance(first.result(), Committed)
            assert isinstance(await lane.commit(TOPIC_ID), Committed)
            assert await rows_of(store) == [(0, offset) for offset in range(10)]
            assert (await prove(store, deep=True)).proved

    run(story())


def test_g3_of_two_owners_one_wins_and_each_row_is_there_once(settings: LakeSettings) -> None:
    async def story() -> None:
        async with opened(settings) as store:
            lanes = [await taken(store, writer=writer) for writer in ("one", "two")]
            for rows, lane in enumerate(lanes, 3):
                feed(lane, 0, rows)
                feed(lane, 1, rows)
            outcomes = [await lane.commit(TOPIC_ID) for lane in lanes]
            assert isinstance(outcomes[0], Committed)
            assert outcomes[1] == Lost(1)
            assert not lanes[1].taken
            assert lanes[1].nbytes == 0
            assert await uploads(store) == [], (
                "the loser's uploads are thrown away: entry 1 does not name them"
            )
            positions = await lanes[1].take(TOPIC_ID, {})
            assert positions == {0: Position(0, 3), 1: Position(0, 13)}
            feed(lanes[1], 0, 2)
            assert isinstance(await lanes[1].commit(TOPIC_ID), Committed)
            feed(lanes[0], 0, 9)
            assert await lanes[0].commit(TOPIC_ID) == Lost(2), "a sink that hung finds its sequence taken"
            assert await rows_of(store) == [(0, at) for at in range(5)] + [(1, at) for at in range(10, 13)]
            assert (await prove(store, deep=True)).proved

    run(story())


def test_g3_two_owners_at_the_very_same_time(settings: LakeSettings) -> None:
    async def story() -> None:
        async with opened(settings) as store:
            lanes = [await taken(store, writer=str(writer)) for writer in range(3)]
            for lane in lanes:
                feed(lane, 0, 4)
            outcomes = await asyncio.gather(*(lane.commit(TOPIC_ID) for lane in lanes))
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Committed", "Lost", "Lost"]
            assert await rows_of(store) == [(0, at) for at in range(4)]
            assert (await prove(store, deep=True)).proved

    run(story())


async def _changes_of_two_commits(store: Any) -> None:
    lane = await taken(store)
    for _ in range(2):
        feed(lane, 0, 5)
        feed(lane, 1, 5, hour=HOUR + 1)
        assert isinstance(await lane.commit(TOPIC_ID), Committed)


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_g3_killed_at_any_step_the_next_owner_lands_each_record_once(
    settings: LakeSettings, done: bool
) -> None:
    async def story() -> None:
        async with opened(settings) as store:
            stopping = StoppingStore(store, 1_000_000, done=done)
            await _changes_of_two_commits(stopping)
            changes = stopping.changes
            assert changes.count("complete") == 4
            first = ["create_once", "settle", "upload", "upload", "create_once", "complete"]
            assert changes[:6] == first, "nothing is completed before the entry is there"
        # Over S3 the second commit repeats the first one's requests, and the store after a step is the store
        # before the next: the steps of one commit, before each, are enough there.
        last = len(changes) if settings.url.startswith("file:") else 0 if done else len(changes) // 2 + 1
        for nth in range(1, last + 1):
            async with opened(settings.model_copy(update={"url": f"{settings.url}/{nth}"})) as store:
                with pytest.raises(Stopped):
                    await _changes_of_two_commits(StoppingStore(store, nth, done=done))
                seen = await rows_of(store)
                assert len(seen) == len(set(seen))
                lane = await taken(store, writer="next")
                for partition, end in ((0, 12), (1, 22)):
                    feed(lane, partition, end - lane.position(partition).next)
                assert isinstance(await lane.commit(TOPIC_ID), Committed)
                expected = [(0, at) for at in range(12)] + [(1, at) for at in range(10, 22)]
                assert await rows_of(store) == expected, f"killed at change {nth}, {changes[nth - 1]}"
                assert (await prove(store, deep=True)).problems == []

    run(story())


def test_g3_an_entry_that_arrives_late_is_found_and_not_landed_again(tmp_path: Path) -> None:
    class Late:
        """The creation of the first data entry gets no answer, and is carried out later."""

        def __init__(self, store: Store) -> None:
            self.store = store
            self.kept: tuple[str, bytes] | None = None

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        async def create_once(self, key: str, data: bytes) -> Any:
            if key.endswith("1.json") and self.kept is None:
                self.kept = (key, data)
                raise StoreError("store_unavailable", "no answer", retriable=True)
            return await self.store.create_once(key, data)

    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            late: Any = Late(store)
            lane = await taken(late)
            feed(lane, 0, 5)
            with pytest.raises(StoreError):
                await lane.commit(TOPIC_ID)
            assert not lane.taken
            await lane.take(TOPIC_ID, {})
            feed(lane, 0, 7)
            await store.create_once(*late.kept)
            assert await lane.commit(TOPIC_ID) == Lost(1)
            await lane.take(TOPIC_ID, {})
            assert lane.position(0) == Position(0, 5)
            assert await rows_of(store) == [(0, at) for at in range(5)]
            assert (await prove(store, deep=True)).proved

    run(story())


def test_a_topic_that_was_created_anew_is_not_landed_into_the_old_ones_log(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = await taken(store)
            feed(lane, 0, 5)
            with pytest.raises(LogError, match="created anew") as caught:
                await lane.commit("another")
            assert caught.value.code == "topic_recreated"
            assert not lane.taken
            assert await uploads(store) == []
            assert caught.value.retriable, "what then is for the guard to decide"
            await lane.take("another", {})
            assert lane.topic_id == TOPIC_ID
            assert await rows_of(store) == []

    run(story())


def test_offsets_that_nothing_explains_stop_the_lane(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = await taken(store)
            with pytest.raises(LogError, match=r"no record for offsets \[0, 4\)") as caught:
                lane.note(0, Fed(5, rows=1, holes=[(0, 4)], hours={HOUR: 1}))
            assert caught.value.code == "gap"
            assert not lane.taken

    run(story())


def test_a_committed_file_whose_upload_is_gone_is_told_and_nothing_is_landed_after_it(tmp_path: Path) -> None:
    class Purging:
        """A store that throws uploads away before they are completed."""

        def __init__(self, store: Store) -> None:
            self.store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        async def complete(self, upload: Upload) -> Any:
            await self.store.abort(upload)
            return await self.store.complete(upload)

    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            purging: Any = Purging(store)
            lane = await taken(purging)
            feed(lane, 0, 5)
            with pytest.raises(LogError, match="its upload is gone") as caught:
                await lane.commit(TOPIC_ID)
            assert caught.value.code == "file_lost"
            assert caught.value.retriable, "it can be rebuilt"
            lane = await taken(store)
            assert [file.rows for file in lane.lost] == [5]
            feed(lane, 0, 5)
            with pytest.raises(AssertionError, match="must be rebuilt before"):
                await lane.commit(TOPIC_ID)
            assert (await CommitLog(store, "events", 0).read()).next_sequence == 2

    run(story())


def test_a_lane_that_is_not_taken_is_not_fed_and_does_not_commit(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = make_lane(store)
            with pytest.raises(AssertionError, match="taken before it is fed"):
                lane.note(0, Fed(1))
            with pytest.raises(AssertionError, match="taken before it commits"):
                await lane.commit(TOPIC_ID)
            await lane.take(TOPIC_ID, STARTS)
            with pytest.raises(AssertionError, match="nothing to commit"):
                await lane.commit(TOPIC_ID)

    run(story())


def test_a_lane_is_full_before_its_entry_could_exceed_its_bound(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path)) as store:
            lane = await taken(store)
            while not lane.full:
                feed(lane, 0, 1, skipped=1)
            assert isinstance(await lane.commit(TOPIC_ID), Committed)
            assert not lane.full
            data = await store.read(entry_key("events", 0, 1))
            assert data is not None
            assert 50_000 < len(data) < 1 << 20

    run(story())
