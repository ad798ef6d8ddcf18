"""Entries and the log of a lane: bytes, what contradicts itself, the chain, and whose an entry is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from lake_stand import TOPIC_ID, local_settings, opened, run

from sink.commit_log import Appended, CommitLog, Lost, claim_lake, claim_topic
from sink.entry import ENTRY_BYTES_MAX, Entry, LandedFile, OffsetRange, PlacedBy, hash_of, parse_entry
from sink.errors import LogError
from sink.keys import entry_key, file_key, hour_text
from sink.log_head import Position
from sink.store import open_store

HOUR = "2026-11-23T10"


def origin(**more: Any) -> Entry:
    start = OffsetRange(incarnation=0, first=4, next=4)
    return entry(kind="origin", sequence=0, previous=None, offsets={0: start, 2: start}, **more)


def entry(**more: Any) -> Entry:
    told: dict[str, Any] = {
        "kind": "data",
        "topic": "events",
        "topic_id": TOPIC_ID,
        "lane": 0,
        "lanes": 2,
        "settings": PlacedBy(grace_us=300_000_000),
        "writer": "one",
        "created_us": 7,
    }
    return Entry(**(told | more))


def landed(**more: Any) -> LandedFile:
    told: dict[str, Any] = {
        "key": file_key("events", "rows", HOUR, 0, 1, "abc"),
        "bytes": 9,
        "rows": 5,
        "sha256": "0" * 64,
        "table": "rows",
        "hour": HOUR,
        "received_us_min": 1,
        "received_us_max": 2,
        "offsets": {0: (4, 10, 5)},
        "upload_id": "id",
    }
    return LandedFile(**(told | more))


def data(previous: str | None = "1" * 64, **more: Any) -> Entry:
    span = OffsetRange(incarnation=0, first=4, next=11, skipped=((9, 11, "control"),), last_batch=(9, 0))
    told: dict[str, Any] = {
        "sequence": 1,
        "previous": previous,
        "offsets": {0: span},
        "files": (landed(offsets={0: (4, 9, 5)}),),
        "hours": {HOUR: 5},
        "rows": 5,
        "skipped": 2,
    }
    return entry(**(told | more))


def test_the_bytes_of_an_entry_are_the_same_for_the_same_content_and_are_read_back() -> None:
    one = data()
    assert one.to_bytes() == data().to_bytes()
    assert one.to_bytes().startswith(b'{"created_us":7,"files":[{"bytes":9,"hour":"2026-11-23T10","key":')
    assert parse_entry(one.to_bytes(), one.key) == one
    assert parse_entry(origin().to_bytes(), entry_key("events", 0, 0)).offsets[2].next == 4


def test_keys_are_those_of_the_protocol() -> None:
    assert entry_key("events", 3, 12) == "_headrace/commits/events/3/00000000000000000012.json"
    day = "date=2026-11-23/hour=10"
    assert file_key("events", "rows", HOUR, 3, 12, "ab") == f"events/{day}/3-12-ab.parquet"
    assert (
        file_key("events", "quarantine", HOUR, 3, 12, "ab")
        == f"headrace.quarantine/{day}/events-3-12-ab.parquet"
    )
    assert hour_text(0) == "1970-01-01T00"
    assert hour_text(472_222) == "2023-11-14T22"


FAULTS: list[tuple[str, Callable[[], Entry]]] = [
    ("7 offsets, but 6 rows", lambda: data(rows=6)),
    ("counted are 4 and 1", lambda: data(rows=4, quarantined=1)),
    ("by hour, counted are", lambda: data(hours={HOUR: 4})),
    ("ranges skip 2 offsets, counted are 1", lambda: data(skipped=1)),
    ("4 rows \\+ 2 skipped", lambda: data(files=(landed(rows=4, offsets={0: (4, 9, 4)}),))),
    ("are not the entry's", lambda: data(files=(landed(offsets={0: (3, 9, 5)}),))),
    ("are not the entry's", lambda: data(files=(landed(offsets={2: (4, 9, 5)}),))),
    ("expected events/date", lambda: data(files=(landed(key="events/other.parquet"),))),
    ("a file is named twice", lambda: data(files=(landed(), landed()))),
    ("is not of lane 0 of 2", lambda: data(offsets={1: OffsetRange(incarnation=0, first=0, next=0)})),
    ("lane 0 of 0", lambda: data(lanes=0)),
    ("sequence 1 is data with predecessor None", lambda: data(previous=None)),
    ("range \\[4, 11\\)", lambda: data(kind="origin")),
]


@pytest.mark.parametrize(("said", "build"), FAULTS)
def test_an_entry_that_contradicts_itself_is_refused_when_read_and_when_written(
    said: str, build: Callable[[], Entry]
) -> None:
    wrong = build()
    raw = orjson.dumps(wrong.model_dump(), option=orjson.OPT_NON_STR_KEYS)
    with pytest.raises(LogError, match=said) as caught:
        parse_entry(raw, wrong.key)
    assert caught.value.code == "bad_entry"
    with pytest.raises(AssertionError):
        wrong.to_bytes()


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"format": 2, "new": 1}, "lake_newer", "written by a newer version"),
        ({"format": "1"}, "bad_entry", "not a commit entry"),
        ({"unknown": 1}, "bad_entry", "unknown"),
        ({"rows": "5"}, "bad_entry", "rows"),
        ({"rows": -1}, "bad_entry", "rows"),
        ({"previous": "x"}, "bad_entry", "previous"),
        ({"kind": "acknowledge"}, "lake_newer", "kind acknowledge"),
        ({"kind": "gap"}, "bad_entry", "0 gaps in an entry of kind gap"),
        ({"kind": "nonsense"}, "bad_entry", "kind"),
        ({"sequence": 2}, "bad_entry", "says that it is"),
    ],
)
def test_what_is_not_an_entry_of_this_version_is_told_by_name(
    change: dict[str, Any], code: str, said: str
) -> None:
    told = orjson.loads(data().to_bytes()) | change
    with pytest.raises(LogError, match=said) as caught:
        parse_entry(orjson.dumps(told), data().key)
    assert caught.value.code == code
    for junk in (b"", b"[]", b"\xff", b'{"format":1}'):
        with pytest.raises(LogError, match="not a commit entry"):
            parse_entry(junk, data().key)


def test_an_entry_stays_below_its_bound() -> None:
    span = data().offsets[0]
    spaces = ENTRY_BYTES_MAX - len(data(writer="").to_bytes())
    assert len(data(writer="x" * (spaces - 1)).to_bytes()) == ENTRY_BYTES_MAX - 1
    with pytest.raises(LogError, match=f"{ENTRY_BYTES_MAX} bytes") as caught:
        data(writer="x" * spaces).to_bytes()
    assert caught.value.code == "entry_too_large"
    assert span.next == 11


def test_a_log_is_followed_from_its_origin_and_its_head_says_where_it_stands(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            log = CommitLog(store, "events", 0)
            empty = await log.read()
            assert (empty.next_sequence, empty.previous, empty.last, empty.positions) == (0, None, None, {})
            first = await log.append(origin())
            assert isinstance(first, Appended)
            second = data(first.sha256)
            assert await log.append(second) == Appended(second, hash_of(second.to_bytes()))
            head = await log.read()
            assert head.next_sequence == 2
            assert head.previous == hash_of(second.to_bytes())
            assert head.positions == {0: Position(0, 11), 2: Position(0, 4)}
            assert head.last == second
            assert head.topic_id == TOPIC_ID

    run(story())


def test_g3_only_byte_equal_entries_are_ours(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            log = CommitLog(store, "events", 0)
            assert isinstance(await log.append(origin()), Appended)
            assert isinstance(await log.append(origin()), Appended), "an answer that was lost"
            assert await log.append(origin(created_us=8)) == Lost(0), "the writer's name does not decide"
            assert (await log.read()).last == origin()

    run(story())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sequence": 2}, "expected entry 1, it is not there"),
        ({"previous": "2" * 64}, "hashes to"),
        ({"topic_id": "another"}, "topic id another"),
        ({"offsets": {0: OffsetRange(incarnation=0, first=5, next=5)}}, "begins at 5 of incarnation 0"),
        ({"offsets": {0: OffsetRange(incarnation=1, first=4, next=4)}}, "begins at 4 of incarnation 1"),
        ({"offsets": {4: OffsetRange(incarnation=0, first=1, next=1)}}, "begins at 1 of incarnation 0"),
    ],
)
def test_a_log_that_does_not_continue_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            log = CommitLog(store, "events", 0)
            first = await log.append(origin())
            assert isinstance(first, Appended)
            nothing = {"rows": 0, "skipped": 0, "files": (), "hours": {}, "offsets": {}}
            await log.append(data(**({"previous": first.sha256} | nothing | change)))
            with pytest.raises(LogError, match=said):
                await log.read()

    run(story())


def test_a_partition_that_the_log_does_not_know_begins_at_zero(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            log = CommitLog(store, "events", 0)
            first = await log.append(origin())
            assert isinstance(first, Appended)
            nothing = {"rows": 0, "skipped": 0, "files": (), "hours": {}}
            new = {6: OffsetRange(incarnation=0, first=0, next=0)}
            await log.append(data(first.sha256, **nothing, offsets=new))
            assert (await log.read()).positions[6] == Position(0, 0)

    run(story())


def test_another_number_of_lanes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(local_settings(tmp_path), 2) as store:
            await claim_topic(store, "events", 2, 99)
            with pytest.raises(LogError, match="put lanes = 2 back") as caught:
                await claim_topic(store, "events", 3, 99)
            assert caught.value.code == "lanes_changed"
            assert not caught.value.retriable

    run(story())


def test_a_lake_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        store = open_store(local_settings(tmp_path))
        await store.create_once("_headrace/lake.json", b'{"format":2,"more":"words"}')
        with pytest.raises(LogError, match="format 2, this version knows 1") as caught:
            await claim_lake(store)
        assert caught.value.code == "lake_newer"
        await store.close()

    run(story())
