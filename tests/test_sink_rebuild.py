"""A committed file whose upload a store has thrown away is written again from Kafka, or told as lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lake_stand import make_lane, prove, row_at, run
from log_stand import ScriptedLog
from test_sink_landing import Stand, landing, offsets, rows_of

from _native.columns import ColumnBuffers
from sink.commit_log import CommitLog
from sink.entry import Entry, LandedFile, OffsetRange, Rebuilt
from sink.entry_faults import faults
from sink.errors import LogError
from sink.keys import file_key
from sink.store import Completion, Store, Upload


class Purging:
    """A store that throws uploads away just before they are completed, as often as it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.times = 0
        self.purged: list[str] = []
        self.before: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def complete(self, upload: Upload) -> Completion:
        if self.times and upload.id not in self.purged:
            self.times -= 1
            self.purged.append(upload.id)
            await self._store.abort(upload)
            if self.before is not None:
                self.before()
        return await self._store.complete(upload)


async def kinds(stand: Stand) -> list[str]:
    log = CommitLog(stand.store, "events", 0)
    return [(await log.entry(sequence)).kind for sequence in range((await log.read()).next_sequence)]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_g2_a_lost_file_is_rebuilt_row_by_row_as_often_as_needed_before_anything_else_is_committed(
    times: int, tmp_path: Path
) -> None:
    """Two files of two hours are committed; one, both, or one and its rebuild are lost."""

    async def story() -> None:
        log = ScriptedLog(2)
        async with landing(tmp_path, log, Purging) as stand:
            for hours in (0, 1, 0):
                log.append(0, 4, hours=hours)
                log.append(1, 3, hours=hours)
            await stand.until_held(21)
            stand.store.times = times
            log.append(0, 5, hours=1)  # behind the lost files, in an hour of theirs
            await stand.landing.flush()
            await stand.until(lambda: stand.lane.taken and not stand.lane.lost, "it is rebuilt")
            await stand.until_held(26)
            await stand.landing.flush()
            assert len(stand.store.purged) == times
            assert await rows_of(stand.store) == sorted(offsets(17) + offsets(9, 1))
            report = await prove(stand.store, deep=True)
            assert report.problems == []
            assert (report.topics["events"].rows, report.topics["events"].gaps) == (26, 0)
            told = await kinds(stand)
            assert told[:2] == ["origin", "data"]
            assert told[2 : 2 + times] == ["rebuild"] * times
            assert stand.landing.trouble.problem is None

    run(story())


def test_g7_rows_of_a_lost_file_that_kafka_no_longer_has_are_told_as_a_gap(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, Purging) as stand:
            log.append(0, 4)
            log.append(0, 4)
            await stand.until_held(8)
            stand.store.times = 1
            stand.store.before = lambda: log.retain(0, 4)
            await stand.landing.flush()
            await stand.until(lambda: stand.lane.taken and not stand.lane.lost, "it is rebuilt")
            assert stand.lane.position(0).next == 8
            assert await rows_of(stand.store) == offsets(8)[4:]
            report = await prove(stand.store, deep=True)
            (problem,) = report.problems
            assert "rows of Kafka partition 0 in [0, 4) were lost with events/" in problem
            assert (report.topics["events"].rows, report.topics["events"].gaps) == (4, 1)

    run(story())


def test_g7_a_lost_file_of_which_kafka_has_nothing_is_given_up_and_landing_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, Purging) as stand:
            log.append(0, 4)
            await stand.until_held(4)
            stand.store.times = 1
            stand.store.before = lambda: log.retain(0, 4)
            await stand.landing.flush()
            await stand.until(lambda: stand.lane.taken and not stand.lane.lost, "it is given up")
            log.append(0, 3)
            await stand.until_held(7)
            await stand.landing.flush()
            assert await rows_of(stand.store) == offsets(7)[4:]
            report = await prove(stand.store, deep=True)
            assert len(report.problems) == 1
            assert (report.topics["events"].rows, report.topics["events"].files) == (3, 1)

    run(story())


@pytest.mark.parametrize("on_gap", ["stop", "record"])
def test_g3_of_a_log_that_was_cut_only_what_is_the_same_is_rebuilt(on_gap: str, tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()

        def cut() -> None:
            log.cut(0, 4)
            log.append(0, 6)

        async with landing(tmp_path, log, Purging, on_gap=on_gap) as stand:
            log.append(0, 4)
            log.append(0, 4)
            await stand.until_held(8)
            stand.store.times = 1
            stand.store.before = cut
            await stand.landing.flush()
            if on_gap == "stop":
                await stand.until(lambda: stand.landing.stopped, "it stops")
                assert await rows_of(stand.store) == []
                return
            await stand.until(lambda: stand.lane.position(0).incarnation == 1, "the gap is recorded")
            await stand.until(lambda: stand.lane.position(0).next == 10, "it goes on")
            await stand.landing.flush()
            assert await rows_of(stand.store) == offsets(4) + [(1, 0, at) for at in range(4, 10)]
            assert await kinds(stand) == ["origin", "data", "rebuild", "gap", "data"]

    run(story())


def test_g3_two_owners_that_rebuild_the_same_file_show_its_rows_once(tmp_path: Path) -> None:
    async def story() -> None:
        log = ScriptedLog()
        async with landing(tmp_path, log, Purging) as stand:
            log.append(0, 4)
            await stand.until_held(4)
            stand.store.times = 1
            with pytest.raises(LogError, match="its upload is gone"):
                await stand.lane.commit(log.topic_id)
            stand.task.cancel()
            lanes = [make_lane(stand.store, writer=name) for name in ("one", "two")]
            outcomes = []
            for lane in lanes:
                await lane.take(log.topic_id, {})
                assert len(lane.lost) == 1
            for lane in lanes:
                buffers = _rows_again(lane.lost[0])
                outcomes.append(await lane.restore(lane.lost[0], buffers, ()))
            assert outcomes == [True, False]
            assert await rows_of(stand.store) == offsets(4)
            assert (await prove(stand.store, deep=True)).problems == []

    run(story())


def _rows_again(file: LandedFile) -> ColumnBuffers:
    buffers = ColumnBuffers()
    for partition, (first, next_, _) in file.offsets.items():
        for offset in range(first, next_):
            buffers.append(row_at(partition, offset))
    return buffers


def rebuild_entry(**more: Any) -> Entry:
    key = file_key("events", "rows", "2026-11-23T10", 0, 3, "abc")
    file = LandedFile(
        key=key,
        bytes=9,
        rows=5,
        sha256="0" * 64,
        table="rows",
        hour="2026-11-23T10",
        received_us_min=1,
        received_us_max=2,
        offsets={0: (4, 9, 5)},
        upload_id="id",
    )
    told: dict[str, Any] = {
        "kind": "rebuild",
        "topic": "events",
        "topic_id": "x",
        "lane": 0,
        "lanes": 2,
        "sequence": 4,
        "previous": "1" * 64,
        "offsets": {},
        "rebuilt": Rebuilt(key=key, sequence=3),
        "files": (file,),
        "settings": {"grace_us": 1},
        "writer": "one",
        "created_us": 7,
    }
    return Entry.model_validate(told | more)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sequence": 3}, "does not stand before it"),
        ({"rows": 5}, "covers no offsets"),
        ({"offsets": {0: OffsetRange(incarnation=0, first=0, next=0)}}, "covers no offsets"),
        ({"files": ()}, "no file, and nothing lost"),
        ({"rebuilt": None}, "of kind rebuild that has rebuilt None"),
        ({"kind": "data"}, "of kind data that has rebuilt"),
        ({"rebuilt": Rebuilt(key="events/other", sequence=3)}, "expected events/other or none"),
        ({"rebuilt": Rebuilt(key=rebuild_entry().files[0].key, sequence=2)}, "is none of entry 2"),
    ],
)
def test_a_rebuild_entry_that_contradicts_itself_is_refused(change: dict[str, Any], said: str) -> None:
    assert list(faults(rebuild_entry())) == []
    assert any(said in fault for fault in faults(rebuild_entry(**change)))
