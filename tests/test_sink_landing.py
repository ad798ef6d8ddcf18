"""The loop of a lane: when it lands, what it holds on to, what stops it, and that nothing is there twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_stand import THREADS, feed, keys, local_settings, make_lane, opened, prove, run
from log_stand import ScriptedLog

from sink.budget import Budget
from sink.commit_log import Lost
from sink.errors import StoreError
from sink.landing import Landing
from sink.lane import Committed
from sink.settings import MIB, TableSettings
from sink.store import Created, Exists, Store

SECONDS_MAX = 10.0


class Stand:
    """One landing on a scripted log; its clock stands still until it is moved."""

    def __init__(self, store: Any, log: ScriptedLog, budget: Budget | None = None, **table: Any) -> None:
        self.store = store
        self.log = log
        self.now_us = 0
        self.told: dict[int, int] = {}
        self.lane = make_lane(store)
        self.landing = Landing(
            self.lane,
            log,
            log,
            TableSettings(**{"roll_seconds": 10, **table}),
            budget or Budget(512 * MIB),
            now_us=lambda: self.now_us,
            threads=THREADS,
            tell=lambda topic, offsets: self.told.update(offsets),
        )
        self.lane._now_us = lambda: self.now_us
        self.task = asyncio.create_task(self.landing.run())

    async def until(self, holds: Callable[[], Any], what: str) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not holds():
                assert not self.task.done(), what
                await asyncio.sleep(0.002)

    async def until_held(self, rows: int) -> None:
        await self.until(
            lambda: sum(self.lane.position(at).next for at in self.log.partitions) == rows, f"{rows} are read"
        )

    async def until_landed(self, rows: int) -> None:
        await self.until(lambda: sum(self.told.values()) == rows, f"{rows} are landed")

    async def until_problem(self, code: str) -> None:
        await self.until(
            lambda: (problem := self.landing.trouble.problem) is not None and problem.code == code, code
        )

    async def end(self) -> None:
        self.landing.end()
        async with asyncio.timeout(SECONDS_MAX):
            await self.task


@asynccontextmanager
async def landing(folder: Path, log: ScriptedLog, wrap: Any = None, **more: Any) -> AsyncIterator[Stand]:
    async with opened(local_settings(folder)) as store:
        stand = Stand(wrap(store) if wrap else store, log, **more)
        try:
            yield stand
        finally:
            stand.task.cancel()
            await asyncio.wait([stand.task])


async def rows_of(store: Store) -> list[tuple[int, int, int]]:
    """(incarnation, Kafka partition, offset) of every visible row."""
    found: list[tuple[int, int, int]] = []
    names = ["kafka_incarnation", "kafka_partition", "kafka_offset"]
    for key in await keys(store):
        if not key.startswith("_headrace/"):
            table = pq.read_table(pa.BufferReader(await store.read(key)), columns=names)
            found += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return sorted(found)


def offsets(count: int, partition: int = 0, incarnation: int = 0) -> list[tuple[int, int, int]]:
    return [(incarnation, partition, offset) for offset in range(count)]


def test_it_lands_when_the_oldest_row_has_waited_long_enough_and_not_before(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            log.append(0, 5)
            await stand.until_held(5)
            stand.now_us = 9_999_999
            log.append(0, 5)
            await stand.until_held(10)
            assert stand.told == {}
            assert stand.landing.status()["positions"] == {"0": 0}
            assert stand.landing.progress.lag_records == 10
            stand.now_us = 10_000_000
            await stand.until_landed(10)
            assert stand.landing.progress.lag_records == 0
            assert stand.landing.status()["last_commit_us"] == 10_000_000
            assert await rows_of(stand.store) == offsets(10)

    run(story())


def test_it_lands_when_rows_reach_the_size_to_roll_at(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, roll_bytes=MIB) as stand:
            log.append(0, 7, payload=b'"%s"' % (b"x" * 120_000))
            await stand.until_held(7)
            log.append(0, 3, payload=b'"%s"' % (b"x" * 120_000))
            await stand.until_landed(10)

    run(story())


def test_a_flush_lands_what_is_held_and_landing_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog(2)
        async with landing(tmp_path, log) as stand:
            log.append(0, 5)
            log.append(1, 2)
            await stand.until_held(7)
            await stand.landing.flush()
            assert stand.told == {0: 5, 1: 2}
            await stand.landing.flush()  # nothing is held
            log.append(0, 1)
            await stand.until_held(8)
            await stand.end()
            assert stand.told == {0: 6, 1: 2}
            assert (await prove(stand.store, deep=True)).proved

    run(story())


def test_while_kafka_is_away_what_is_held_stays_and_is_landed_when_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            log.append(0, 5)
            await stand.until_held(5)
            fetched = log.fetched
            log.away = True
            await stand.until_problem("kafka_unavailable")
            stand.now_us = 20_000_000
            log.asked.clear()
            await stand.until(lambda: "id" in log.asked, "a commit is tried")
            assert stand.told == {}
            log.away = False
            await stand.until_landed(5)
            await stand.until(lambda: stand.landing.trouble.problem is None, "all is well")
            assert log.fetched == fetched, "nothing was read twice"

    run(story())


class Failing:
    """A store whose creations fail while it is told to; `after`: they are done all the same."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failing: str | None = None
        self.failed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        if self.failing and "/commits/" in key:
            self.failed += 1
            if self.failing == "after":
                await self._store.create_once(key, data)
            raise StoreError("store_unavailable", "no answer from the store", retriable=True)
        return await self._store.create_once(key, data)


@pytest.mark.parametrize("failing", ["before", "after"])
def test_g3_a_store_that_did_not_answer_is_read_and_nothing_is_there_twice(
    failing: str, tmp_path: Path
) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, Failing, roll_seconds=0.5) as stand:
            await stand.until(lambda: stand.lane.taken, "the lane is taken")
            stand.store.failing = failing
            log.append(0, 5)
            await stand.until_held(5)
            stand.now_us += 1_000_000
            await stand.until(lambda: stand.store.failed == 1, "a commit fails")
            await stand.until_problem("store_unavailable")
            if failing == "before":
                await stand.until_held(5)
                assert stand.landing.trouble.problem is not None, "what can be read can't be written yet"
            stand.store.failing = None
            log.append(0, 5)
            await stand.until(lambda: stand.lane.position(0).next == 10, "all is read")
            stand.now_us += 1_000_000
            await stand.until(lambda: stand.told == {0: 10}, "all is landed")
            assert stand.landing.trouble.problem is None
            assert await rows_of(stand.store) == offsets(10)
            assert (await prove(stand.store, deep=True)).proved

    run(story())


def test_g3_where_another_has_committed_it_drops_its_rows_and_goes_on_from_there(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            log.append(0, 5)
            await stand.until_held(5)
            other = make_lane(stand.store, writer="another")
            await other.take(log.topic_id, {})
            feed(other, 0, 3, epoch=0)
            assert isinstance(await other.commit(log.topic_id), Committed)
            stand.now_us += 10_000_000
            log.append(0, 2)
            await stand.until(lambda: stand.lane._head.next_sequence == 2, "it has read the log again")
            await stand.until_held(7)
            stand.now_us += 10_000_000
            await stand.until(lambda: stand.told == {0: 7}, "the rest is landed")
            assert await rows_of(stand.store) == offsets(7)
            feed(other, 0, 9)
            assert isinstance(await other.commit(log.topic_id), Lost)
            assert (await prove(stand.store, deep=True)).proved

    run(story())


def test_g3_a_topic_that_was_created_anew_before_the_commit_lands_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            log.append(0, 5)
            await stand.until_held(5)
            log.recreate("second")
            log.append(0, 5)
            stand.now_us += 10_000_000
            await stand.until(lambda: stand.landing.stopped, "it stops")
            problem = stand.landing.trouble.problem
            assert problem is not None
            assert problem.code == "topic_recreated"
            assert 'set on_gap = "record"' in str(problem)
            assert await rows_of(stand.store) == []
            await stand.end()

    run(story())


async def _land(stand: Stand, log: ScriptedLog, *batches: int) -> None:
    for rows in batches:
        log.append(0, rows)
    await stand.until(lambda: stand.lane.position(0).next == log.partitions[0].end, "all is read")
    await stand.landing.flush()


@pytest.mark.parametrize("grown", [0, 2, 3, 4])
def test_g3_a_log_that_was_cut_and_has_grown_again_stops_the_lane(grown: int, tmp_path: Path) -> None:
    """Shorter than the head, nearly as long, longer: what differs must not be passed over."""

    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            await _land(stand, log, 3, 5)
            log.cut(0, 3)
            for _ in range(grown):
                log.append(0, 2)
            await asyncio.sleep(0.05)  # it may be seen now, or with the next batch
            log.append(0, 1)
            await stand.until(lambda: stand.landing.stopped, "it stops")
            problem = stand.landing.trouble.problem
            assert problem is not None
            assert problem.code == "log_truncated"
            assert "landed up to offset 8: from offset 3 on" in str(problem)
            assert await rows_of(stand.store) == offsets(8)
            await stand.end()

    run(story())


@pytest.mark.parametrize("grown", [0, 2, 3, 4])
def test_g3_with_record_a_cut_log_is_landed_from_where_it_differs_in_the_next_incarnation(
    grown: int, tmp_path: Path
) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, on_gap="record") as stand:
            await _land(stand, log, 3, 5)
            log.cut(0, 3)
            for _ in range(grown):
                log.append(0, 2)
            await asyncio.sleep(0.05)
            log.append(0, 1)
            end = 3 + 2 * grown + 1
            await stand.until(
                lambda: stand.lane.position(0).incarnation == 1 and stand.lane.position(0).next == end,
                "it goes on",
            )
            await stand.landing.flush()
            again = [(1, 0, offset) for offset in range(3, end)]
            assert await rows_of(stand.store) == offsets(8) + again
            report = await prove(stand.store, deep=True)
            (problem,) = report.problems
            assert "a gap that nobody has acknowledged: Kafka partition 0: truncated at 8" in problem
            assert report.topics["events"].gaps == 1
            await stand.end()

    run(story())


def test_g3_with_record_a_topic_created_anew_is_landed_in_the_next_incarnation(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog(2)
        async with landing(tmp_path, log, on_gap="record") as stand:
            log.append(1, 2)
            await stand.until_held(2)
            await _land(stand, log, 5)
            log.recreate("second")
            log.append(0, 4)
            log.append(1, 4)
            await stand.until(lambda: stand.lane.topic_id == "second", "the gap is recorded")
            await stand.until(lambda: stand.lane.position(0).next == stand.lane.position(1).next == 4, "read")
            await stand.landing.flush()
            first = offsets(5) + offsets(2, partition=1)
            second = offsets(4, incarnation=1) + offsets(4, 1, 1)
            assert await rows_of(stand.store) == sorted(first + second)
            await stand.end()

    run(story())


def test_g3_records_that_retention_took_before_they_were_landed_are_a_gap(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            await _land(stand, log, 5)
            await stand.end()
        for _ in range(3):
            log.append(0, 5)
        log.retain(0, 10)
        async with landing(tmp_path, log) as stand:
            await stand.until(lambda: stand.landing.stopped, "it stops")
            assert "offsets [5, 10) are gone" in str(stand.landing.trouble.problem)
            await stand.end()
        async with landing(tmp_path, log, on_gap="record") as stand:
            await stand.until(lambda: stand.lane.position(0).next == 20, "it goes on")
            assert stand.lane.position(0).incarnation == 0
            await stand.landing.flush()
            assert await rows_of(stand.store) == offsets(5) + [(0, 0, at) for at in range(10, 20)]

    run(story())


def test_a_new_leader_of_the_same_log_is_no_difference(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            await _land(stand, log, 5)
            log.partitions[0].epoch = 4
            log.append(0, 5)
            await stand.until_held(10)
            log.partitions[0].epoch = 5
            log.append(0, 5)
            await stand.until_held(15)
            await stand.landing.flush()
            assert stand.landing.trouble.problem is None
            assert await rows_of(stand.store) == offsets(15)
            await stand.end()
            log.retain(0, 15)
            log.append(0, 5)
        async with landing(tmp_path, log) as stand:
            await stand.until(lambda: stand.lane.position(0).next == 20, "retention took what was landed")
            await stand.end()
            assert await rows_of(stand.store) == offsets(20)

    run(story())


def test_a_fault_of_our_own_is_kept_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log) as stand:
            await stand.until(lambda: stand.lane.taken, "the lane is taken")
            feed = stand.landing._decoder.feed
            broken: list[int] = []

            class Broken:
                def feed(self, *arguments: Any) -> Any:
                    if not broken:
                        broken.append(1)
                        raise RuntimeError("a fault")
                    return feed(*arguments)

            monkeypatch.setattr(stand.landing, "_decoder", Broken())
            log.append(0, 5)
            await stand.until_problem("lane_failed")
            await stand.until_held(5)
            await stand.end()
            assert await rows_of(stand.store) == offsets(5)

    run(story())


class Faulty:
    """A store whose first completion waits for its word, then is a fault of our own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def complete(self, upload: Any) -> Any:
        if not self.go.is_set():
            self.asked.set()
            await self.go.wait()
            raise RuntimeError("a fault of the store's code")
        return await self._store.complete(upload)


def test_two_faults_at_once_stop_this_lane_for_a_while_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, wrap=Faulty) as stand:
            await stand.until(lambda: stand.lane.taken, "the lane is taken")
            log.append(0, 5)
            await stand.until_held(5)
            stand.now_us = 11_000_000
            await stand.until(stand.store.asked.is_set, "a commit is under way")
            feed = stand.landing._decoder.feed
            broken: list[int] = []

            class Broken:
                def feed(self, *arguments: Any) -> Any:
                    if not broken:
                        broken.append(1)
                        raise RuntimeError("a fault of the decoder")
                    return feed(*arguments)

            monkeypatch.setattr(stand.landing, "_decoder", Broken())
            log.append(0, 5)
            await stand.until(lambda: broken, "the decoder has failed")
            stand.store.go.set()
            await stand.until_problem("lane_failed")
            await stand.until_held(10)
            await stand.end()
            assert await rows_of(stand.store) == offsets(10)

    run(story())


class Gate:
    """A store that completes uploads only when it is let."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.open = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def complete(self, upload: Any) -> Any:
        await self.open.wait()
        return await self._store.complete(upload)


def test_g8_memory_is_bounded_while_a_store_hangs_and_kafka_keeps_the_rest(tmp_path: Path) -> None:
    payload = b'"%s"' % (b"x" * 100_000)
    bytes_max = 2 * MIB

    async def story() -> None:
        log = ScriptedLog()
        budget = Budget(bytes_max)
        async with landing(tmp_path, log, Gate, budget=budget) as stand:
            for _ in range(80):
                log.append(0, 5, payload=payload)
            await stand.until(lambda: stand.lane.committing, "the largest commits")
            feed_bytes = 8 * 5 * len(payload)
            for _ in range(50):
                await asyncio.sleep(0.002)
                assert budget.nbytes < bytes_max + feed_bytes * 1.1
            assert stand.told == {}
            stand.store.open.set()
            await stand.until(lambda: stand.lane.position(0).next == 400, "all is read")
            await stand.end()
            assert stand.told == {0: 400}
            assert budget.nbytes == 0

    run(story())
