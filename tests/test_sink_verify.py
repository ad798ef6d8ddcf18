"""The proof finds each thing that can be wrong with a lake, and nothing with one that is being written."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_stand import HOUR, TOPIC_ID, feed, local_settings, make_lane, opened, prove, run

from sink.commit_log import CommitLog
from sink.entry import Entry, hash_of, parse_entry
from sink.keys import entry_key
from sink.lane import Committed, Lane
from sink.store import Listed, Store, Upload, open_store
from sink.verify import Report, verify

STARTS = {0: 0, 2: 10}
COMMITS = 3


async def build(store: Store) -> Lane:
    """Entries 1 to 3 of lane 0 of 2, each with files of two hours and a quarantine file."""
    lane = make_lane(store, lanes=2)
    await lane.take(TOPIC_ID, STARTS)
    for _ in range(COMMITS):
        feed(lane, 0, 5, quarantined=1, skipped=2)
        feed(lane, 2, 4, hour=HOUR + 1)
        assert isinstance(await lane.commit(TOPIC_ID), Committed)
    return lane


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake that is whole; it is copied, never changed."""
    folder = tmp_path_factory.mktemp("whole")

    async def story() -> None:
        async with opened(local_settings(folder), 2) as store:
            await build(store)
            assert (await prove(store, deep=True)).problems == []

    run(story())
    return folder


@pytest.fixture
def damaged(lake: Path, tmp_path: Path) -> Callable[..., Report]:
    """What verify says of the lake after something was done to a copy of its directory."""

    def damaged(damage: Callable[[Path], Any], *, deep: bool = False) -> Report:
        folder = tmp_path / secrets.token_hex(4)
        shutil.copytree(lake, folder)
        damage(folder / "lake")

        async def story() -> Report:
            store = open_store(local_settings(folder))
            try:
                return await prove(store, deep=deep)
            finally:
                await store.close()

        return run(story())

    return damaged


def files(lake: Path, pattern: str = "events/*/*/*.parquet") -> list[Path]:
    return sorted(lake.glob(pattern), key=lambda path: path.name.split("-")[-2] + path.parent.name)


def entry_path(lake: Path, sequence: int) -> Path:
    return lake / entry_key("events", 0, sequence)


def rewrite(lake: Path, sequence: int, **change: Any) -> None:
    """Change an entry as somebody would who knows the format but not those behind it."""
    path = entry_path(lake, sequence)
    told = orjson.loads(path.read_bytes()) | change
    path.write_bytes(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))


def change_file(lake: Path, sequence: int, **change: Any) -> None:
    told = orjson.loads(entry_path(lake, sequence).read_bytes())
    told["files"][0] |= change
    rewrite(lake, sequence, files=told["files"])


def forge(lake: Path, **change: Any) -> None:
    """An entry 4 with the right chain."""
    last = Entry.model_validate_json(entry_path(lake, COMMITS).read_bytes())
    told: dict[str, Any] = last.model_dump() | {"sequence": COMMITS + 1, "files": (), "hours": {}}
    told |= {"rows": 0, "quarantined": 0, "skipped": 0, "offsets": {}}
    told["previous"] = hash_of(entry_path(lake, COMMITS).read_bytes())
    entry_path(lake, COMMITS + 1).write_bytes(Entry(**(told | change)).to_bytes())


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    kept = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(kept)


QUARANTINE = "headrace.quarantine/*/*/*.parquet"
SWAPPED = r"bytes, .* says|was written for"
FILE_FAULTS: list[tuple[str, Callable[[Path], None], str]] = [
    ("deleted", lambda lake: files(lake)[0].unlink(), "an entry names it, but it is missing"),
    ("last deleted", lambda lake: files(lake)[-1].unlink(), "committed, not completed yet"),
    ("quarantine deleted", lambda lake: files(lake, QUARANTINE)[0].unlink(), "it is missing"),
    ("truncated", lambda lake: files(lake)[1].write_bytes(files(lake)[1].read_bytes()[:-9]), "bytes, "),
    ("emptied", lambda lake: files(lake)[1].write_bytes(b""), "0 bytes, "),
    ("swapped", lambda lake: swap(files(lake)[0], files(lake)[2]), SWAPPED),
    (
        "duplicated",
        lambda lake: shutil.copy(files(lake)[0], files(lake)[0].with_name("0-1-00.parquet")),
        "no entry names this file",
    ),
    (
        "foreign",
        lambda lake: (lake / "events/date=2023-11-14/hour=22/part-0.parquet").write_bytes(b"PAR1"),
        "no entry names this file",
    ),
    ("not Parquet", lambda lake: files(lake)[0].write_bytes(bytes(files(lake)[0].stat().st_size)), "Parquet"),
]


@pytest.mark.parametrize(("name", "damage", "said"), FILE_FAULTS, ids=[name for name, *_ in FILE_FAULTS])
def test_g5_a_file_that_is_not_what_was_landed_is_named(
    name: str, damage: Callable[[Path], None], said: str, damaged: Callable[..., Report]
) -> None:
    report = damaged(damage)
    assert not report.proved
    assert any(".parquet" in problem for problem in report.problems)
    assert _mentioned(report, said)


def _mentioned(report: Report, said: str) -> bool:
    return any(re.search(said, problem) for problem in report.problems)


def test_g5_a_file_in_the_place_of_another_is_told_by_its_footer(damaged: Callable[..., Report]) -> None:
    def damage(lake: Path) -> None:
        one = next(path for path in files(lake) if path.name.startswith("0-2-"))
        entry = parse_entry(entry_path(lake, 3).read_bytes(), entry_key("events", 0, 3))
        shutil.copy(one, lake / entry.files[0].key)
        change_file(lake, 3, bytes=one.stat().st_size)

    report = damaged(damage)
    assert _mentioned(report, r"was written for .*'sequence': '2'.* the entry says .*'sequence': '3'")


def test_g5_a_bit_in_the_rows_is_found_by_reading_all(damaged: Callable[..., Report]) -> None:
    assert damaged(lambda lake: flip(files(lake)[0], 60)).proved
    report = damaged(lambda lake: flip(files(lake)[0], 60), deep=True)
    assert _mentioned(report, "SHA-256 is not the one")


ENTRY_FAULTS: list[tuple[str, Callable[[Path], None], str]] = [
    ("changed", lambda lake: rewrite(lake, 1, writer="another"), "entry 1 hashes to"),
    ("deleted", lambda lake: entry_path(lake, 2).unlink(), "expected entry 2, it is not there"),
    ("last deleted", lambda lake: entry_path(lake, 3).unlink(), "no entry names this file"),
    ("false count", lambda lake: rewrite(lake, 3, rows=10), "counted are 10"),
    ("false hour", lambda lake: rewrite(lake, 3, hours={"2023-11-14T22": 9}), "by hour, counted are"),
    ("junk", lambda lake: entry_path(lake, 2).write_bytes(b"{}"), "not a commit entry"),
    ("false size", lambda lake: change_file(lake, 3, bytes=7), "bytes, .* says 7"),
    ("forged", lambda lake: forge(lake, topic_id="another"), "topic id another"),
    ("forged, a hole", lambda lake: forge(lake, **_range(0, 30, 33)), r"begins at 30 .* ended at"),
    ("forged, overlaps", lambda lake: forge(lake, **_range(0, 20, 23)), r"begins at 20 .* ended at"),
    ("lane that is none", lambda lake: shutil.copytree(*_lane_copy(lake)), "names no such lane"),
]


def _range(partition: int, first: int, next_: int) -> dict[str, Any]:
    span = {"incarnation": 0, "first": first, "next": next_, "skipped": ((first, next_, "control"),)}
    return {"offsets": {partition: span}, "skipped": next_ - first}


def _lane_copy(lake: Path) -> tuple[Path, Path]:
    folder = entry_path(lake, 0).parent
    return folder, folder.with_name("7")


@pytest.mark.parametrize(("name", "damage", "said"), ENTRY_FAULTS, ids=[name for name, *_ in ENTRY_FAULTS])
def test_g5_an_entry_that_is_not_what_was_committed_is_named(
    name: str, damage: Callable[[Path], None], said: str, damaged: Callable[..., Report]
) -> None:
    report = damaged(damage)
    assert not report.proved
    assert _mentioned(report, said), report.problems


def test_g5_holes_and_overlaps_are_counted(damaged: Callable[..., Report]) -> None:
    report = damaged(lambda lake: forge(lake, **_range(0, 30, 33)))
    assert (report.topics["events"].gaps, report.topics["events"].overlaps) == (1, 0)
    report = damaged(lambda lake: forge(lake, **_range(0, 20, 23)))
    assert (report.topics["events"].gaps, report.topics["events"].overlaps) == (0, 1)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("kafka_offset", 16, "1 rows with an offset that another row has"),
        ("kafka_offset", 1_000, "1 rows with an offset outside"),
        ("kafka_offset", 23, "1 rows with an offset outside"),  # a skipped one
        ("kafka_partition", 2, "offsets of .* are in no row"),
        ("kafka_partition", 4, r"rows of Kafka partitions \[4\]"),
        ("kafka_incarnation", 1, "rows of another incarnation than 0"),
    ],
)
def test_g3_rows_that_are_not_those_of_the_entry_are_found_by_reading_all(
    damaged: Callable[..., Report], column: str, value: int, said: str
) -> None:
    """A file of the right name, footer and counts, with other rows; its entry bears its checksum."""

    def damage(lake: Path) -> None:
        entry = parse_entry(entry_path(lake, 3).read_bytes(), entry_key("events", 0, 3))
        path = lake / entry.files[0].key
        table = pq.read_table(path, partitioning=None)
        values = table[column].to_pylist()
        at = table.column_names.index(column)
        changed = pa.array([*values[:-1], value], table.schema.field(at).type)
        pq.write_table(table.set_column(at, column, changed), path)
        data = path.read_bytes()
        change_file(lake, 3, bytes=len(data), sha256=hash_of(data))

    assert damaged(damage).proved, "a footer does not say it"
    report = damaged(damage, deep=True)
    assert _mentioned(report, said), report.problems
    assert report.topics["events"].overlaps == (value in (2, 16))  # 20 of Kafka partition 2 is there, too


def test_g3_a_row_count_that_the_file_does_not_have_is_found(tmp_path: Path) -> None:
    """The entry is whole in itself and says six rows where the file has five."""

    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            lane = make_lane(store, lanes=2)
            await lane.take(TOPIC_ID, STARTS)
            feed(lane, 0, 5)
            await lane.commit(TOPIC_ID)
            path = entry_path(tmp_path / "lake", 1)
            entry = parse_entry(path.read_bytes(), entry_key("events", 0, 1))
            file = entry.files[0].model_copy(update={"rows": 6, "offsets": {0: (0, 6, 6)}})
            span = entry.offsets[0].model_copy(update={"next": 6})
            lie = {"rows": 6, "files": (file,), "offsets": {0: span}, "hours": {file.hour: 6}}
            path.write_bytes(entry.model_copy(update=lie).to_bytes())
            report = await prove(store)
            assert _mentioned(report, "holds 5 rows, the entry says 6")
            assert _mentioned(report, r"holds offsets .* the entry says")

    run(story())


class Busy:
    """A store in which a lane commits whenever something was listed or an entry was read."""

    def __init__(self, store: Store, commit: Callable[[], Any]) -> None:
        self._store = store
        self._commit = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[Listed]:
        found = [one async for one in self._store.list(prefix, after)]
        await self._commit()
        for one in found:
            yield one

    async def read(self, key: str) -> bytes | None:
        found = await self._store.read(key)
        await self._commit()
        return found


def test_g5_no_false_alarm_while_a_sink_commits_between_all_reads(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            lane = await build(store)

            one = asyncio.Lock()

            async def commit() -> None:
                async with one:
                    feed(lane, 0, 2)
                    assert isinstance(await lane.commit(TOPIC_ID), Committed)

            busy: Any = Busy(store, commit)
            report = await verify(busy, deep=True)
            assert report.problems == []
            assert lane.position(0).next > 30, "it has committed meanwhile"

    run(story())


def test_g5_a_file_that_is_being_completed_is_waited_for_and_one_that_is_not_is_told_and_repaired(
    tmp_path: Path,
) -> None:
    class Holding:
        """A store that completes nothing before it is let."""

        def __init__(self, store: Store) -> None:
            self._store = store
            self.gate = asyncio.Event()
            self.held = asyncio.Event()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def complete(self, upload: Upload) -> Any:
            self.held.set()
            await self.gate.wait()
            return await self._store.complete(upload)

    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            await build(store)
            holding: Any = Holding(store)
            lane = make_lane(holding, lanes=2)
            holding.gate.set()
            await lane.take(TOPIC_ID, {})
            holding.gate.clear()
            holding.held.clear()
            feed(lane, 0, 5)
            committing = asyncio.create_task(lane.commit(TOPIC_ID))
            await holding.held.wait()
            report = await prove(store)
            assert [problem.partition(": ")[2] for problem in report.problems] == [
                "committed, not completed yet: run verify --repair"
            ]
            waiting = asyncio.create_task(verify(store, appear_seconds_max=30))
            await asyncio.sleep(0)
            holding.gate.set()
            assert (await waiting).problems == []
            await committing

    async def repaired() -> None:
        async with opened(local_settings(tmp_path / "other"), 2) as store:
            await build(store)
            holding: Any = Holding(store)
            holding.gate.set()
            lane = make_lane(holding, lanes=2)
            await lane.take(TOPIC_ID, {})
            holding.gate.clear()
            holding.held.clear()
            feed(lane, 0, 5)
            committing = asyncio.create_task(lane.commit(TOPIC_ID))
            await holding.held.wait()
            committing.cancel()
            report = await prove(store, repair=True, deep=True)
            assert report.problems == []
            assert (await prove(store)).proved

    run(story())
    run(repaired())


def test_g5_what_is_proved_is_counted(lake: Path, damaged: Callable[..., Report]) -> None:
    report = damaged(lambda lake: None)
    counted = {"records": 36, "rows": 27, "files": 9, "gaps": 0, "overlaps": 0}
    assert report.as_json() == {"proved": True, "topics": {"events": counted}, "problems": []}
    rows = sum(pq.read_metadata(path).num_rows for path in files(lake / "lake"))
    assert rows == 27


def test_a_lake_without_a_log_and_a_topic_that_is_not_there_are_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            await build(store)
            assert (await prove(store, topics=["events"])).proved
            report = await prove(store, topics=["orders"])
            assert _mentioned(report, "orders: no commit log of this topic")
            log = CommitLog(store, "events", 0)
            assert (await log.read()).next_sequence == COMMITS + 1
        shutil.rmtree(tmp_path / "lake" / "_headrace")
        async with opened(local_settings(tmp_path / "empty"), 1) as store:
            (tmp_path / "empty/lake/_headrace/topics/events.json").unlink()
            assert _mentioned(await prove(store), "no commit log found at")

    run(story())
