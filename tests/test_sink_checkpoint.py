"""Checkpoints shorten what is read when a lane is taken; they can be deleted, a wrong one does no harm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from lake_stand import TOPIC_ID, feed, keys, local_settings, make_lane, opened, prove, run

from sink import commit_log
from sink.commit_log import CommitLog
from sink.errors import StoreError
from sink.keys import CHECKPOINTS, checkpoint_key, entry_key
from sink.lane import Committed
from sink.store import Created, Exists, Store

ENTRIES = 4


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_log, "ENTRIES", ENTRIES)


class Counting:
    """A store that tells which keys were read, and refuses to make checkpoints if told to."""

    def __init__(self, store: Store, refuses: bool = False) -> None:
        self._store = store
        self._refuses = refuses
        self.reads: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, key: str) -> bytes | None:
        self.reads.append(key)
        return await self._store.read(key)

    async def create_once(self, key: str, data: bytes) -> Created | Exists:
        if self._refuses and key.startswith(CHECKPOINTS):
            raise StoreError("store_unavailable", "not now", retriable=True)
        return await self._store.create_once(key, data)


@asynccontextmanager
async def landed(folder: Path, commits: int, refuses: bool = False) -> AsyncIterator[Counting]:
    async with opened(local_settings(folder)) as store:
        counting = Counting(store, refuses)
        lane = make_lane(counting)  # type: ignore[arg-type]
        await lane.take(TOPIC_ID, {0: 0, 1: 10})
        for commit in range(commits):
            feed(lane, commit % 2, 3, skipped=1)
            assert isinstance(await lane.commit(TOPIC_ID), Committed)
        counting.reads.clear()
        yield counting


def test_the_head_is_the_same_with_and_without_and_no_more_than_the_rest_is_read(tmp_path: Path) -> None:
    async def story() -> None:
        async with landed(tmp_path, 2 * ENTRIES + 1) as store:
            assert await keys(store, CHECKPOINTS) == [checkpoint_key("events", 0, at) for at in (4, 8)]
            log = CommitLog(store, "events", 0)
            head = await log.read()
            expected = [checkpoint_key("events", 0, 8), *(entry_key("events", 0, at) for at in (8, 9))]
            assert store.reads == expected
            for key in await keys(store, CHECKPOINTS):
                await store.delete(key)
            again = await log.read()
            assert again == head
            batches = {at: position.last_batch for at, position in head.positions.items()}
            assert batches == {at: position.last_batch for at, position in again.positions.items()}
            assert head.hours == {"2023-11-14T22": 27}
            assert (await prove(store, deep=True)).proved

    run(story())


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"format": 2},
        {"sha256": "0" * 64},
        {"sequence": 7},
        {"positions": {"0": [0, "x", None]}},
        {"unknown": 1},
    ],
)
def test_a_checkpoint_that_does_not_fit_is_passed_over(change: dict[str, Any] | None, tmp_path: Path) -> None:
    async def story() -> None:
        async with landed(tmp_path, 2 * ENTRIES) as store:
            log = CommitLog(store, "events", 0)
            head = await log.read()
            path = tmp_path / "lake" / checkpoint_key("events", 0, 8)
            told = orjson.loads(path.read_bytes())
            path.write_bytes(b"junk" if change is None else orjson.dumps(told | change))
            store.reads.clear()
            assert await log.read() == head
            assert checkpoint_key("events", 0, 4) in store.reads

    run(story())


def test_g5_a_checkpoint_that_says_something_else_is_told_by_verify(tmp_path: Path) -> None:
    async def story() -> None:
        async with landed(tmp_path, ENTRIES) as store:
            path = tmp_path / "lake" / checkpoint_key("events", 0, 4)
            told = orjson.loads(path.read_bytes())
            told["positions"]["0"][1] += 1
            path.write_bytes(orjson.dumps(told))
            (problem,) = (await prove(store)).problems
            assert "does not say what follows from the log" in problem

    run(story())


def test_a_checkpoint_that_can_t_be_made_costs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with landed(tmp_path, ENTRIES + 1, refuses=True) as store:
            assert await keys(store, CHECKPOINTS) == []
            assert (await CommitLog(store, "events", 0).read()).next_sequence == ENTRIES + 2
            assert (await prove(store)).proved

    run(story())
