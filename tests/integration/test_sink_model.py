"""The commit protocol as a model: whatever writers, stores and Kafka do, each record is visible once (G3).

Each rule of PROTOCOL marked ✗ that is tried here breaks something when it is dropped: the model finds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from log_stand import Partition
from model_stand import Loop, World, write_rows

import sink.completion
import sink.guard
import sink.lane
import sink.sweep
import sink.upload

WRITERS_MAX = 3
PARTITIONS_MAX = 3
LAST_CHANGES_MAX = 3000
HOWS = st.sampled_from(["done", "done", "done", "unanswered", "late"])
SETTINGS = settings(
    max_examples=60,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.fixture(autouse=True)
def rows_for_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink.upload, "write", write_rows)


class Protocol(RuleBasedStateMachine):
    """What can happen, one thing after the other."""

    overwrites = False

    def __init__(self) -> None:
        super().__init__()
        self.world = World(overwrites=self.overwrites)
        self.loop = Loop(self.world)
        self.records = 0
        self.purged = False

    @initialize()
    def begin(self) -> None:
        for partition in (0, 1):
            self.append(partition, 2)
        self.loop.start()

    @rule(partition=st.integers(0, PARTITIONS_MAX - 1), rows=st.integers(1, 3))
    def append(self, partition: int, rows: int) -> None:
        """A batch of one record, or some; each has a payload of its own."""
        if partition in self.world.log.partitions:
            for _ in range(rows):
                self.records += 1
                self.world.log.append(partition, 1, payload=b'"%d"' % self.records)

    @rule(partition=st.integers(0, 1), kept=st.integers(0, 5), grown=st.integers(0, 6))
    def cut(self, partition: int, kept: int, grown: int) -> None:
        """Kafka loses the end of its log, and it may grow past where it was."""
        log = self.world.log.partitions[partition]
        self.world.log.cut(partition, max(log.first, log.end - kept))
        self.append(partition, grown)

    @rule()
    def recreate(self) -> None:
        self.world.log.recreate(f"topic {self.records}")
        for partition in list(self.world.log.partitions):
            self.append(partition, 3)

    @rule(partition=st.integers(0, 1), left=st.integers(0, 3))
    def retain(self, partition: int, left: int) -> None:
        log = self.world.log.partitions[partition]
        self.world.log.retain(partition, max(log.first, log.end - left))

    @precondition(lambda self: len(self.world.log.partitions) < PARTITIONS_MAX)
    @rule()
    def add_partition(self) -> None:
        number = len(self.world.log.partitions)
        self.world.log.partitions[number] = Partition()
        self.append(number, 2)

    @precondition(lambda self: len(self.loop.tasks) < WRITERS_MAX)
    @rule()
    def start(self) -> None:
        self.loop.start()

    @precondition(lambda self: self.loop.tasks)
    @rule(which=st.integers(0, WRITERS_MAX))
    def kill(self, which: int) -> None:
        names = sorted(self.loop.tasks)
        self.loop.kill(names[which % len(names)])

    @precondition(lambda self: self.world.changes)
    @rule(which=st.integers(0, 9), how=HOWS)
    def let(self, which: int, how: str) -> None:
        """One change of any writer; an answer may be lost, a put may come later."""
        self.loop.let(self.world.changes[which % len(self.world.changes)], how)

    @precondition(lambda self: self.loop.tasks)
    @rule(which=st.integers(0, WRITERS_MAX), times=st.integers(1, 25))
    def advance(self, which: int, times: int) -> None:
        """One writer goes on for a while, and nobody else."""
        names = sorted(self.loop.tasks)
        name = names[which % len(names)]
        for _ in range(times):
            mine = [change for change in self.world.changes if change.writer == name]
            if mine:
                self.loop.let(mine[0])

    @precondition(lambda self: self.world.late)
    @rule(which=st.integers(0, 9))
    def deliver(self, which: int) -> None:
        """A put arrives whose sender has given up."""
        self.world.create(*self.world.late.pop(which % len(self.world.late)))

    @precondition(lambda self: self.world.uploads)
    @rule(which=st.integers(0, 9))
    def purge(self, which: int) -> None:
        """The store throws an upload away."""
        self.purged = True
        ids = sorted(self.world.uploads)
        del self.world.uploads[ids[which % len(ids)]]

    @invariant()
    def nothing_is_visible_twice(self) -> None:
        rows = self.world.rows()
        places = Counter(row[:3] for row in rows)
        assert all(count == 1 for count in places.values()), "an offset is visible twice"
        payloads = Counter(row[3] for row in rows)
        assert all(count == 1 for count in payloads.values()), "a record is visible twice"

    @invariant()
    def no_committed_file_is_lost_but_by_the_store(self) -> None:
        rebuilt = [data for data in self.world.objects.values() if b'"kind":"rebuild"' in data]
        assert self.purged or not rebuilt, "a committed file was never visible: writers threw it away"

    def teardown(self) -> None:
        """All die, all late puts arrive; one writer that nothing happens to makes everything visible."""
        try:
            for name in list(self.loop.tasks):
                self.loop.kill(name)
            for key, data in self.world.late:
                self.world.create(key, data)
            self.loop.start()
            for _ in range(LAST_CHANGES_MAX):
                if self._is_landed():
                    break
                self.loop.let(self.world.changes[0])
            self.nothing_is_visible_twice()
            self.no_committed_file_is_lost_but_by_the_store()
            missing = self._there() - {row[3] for row in self.world.rows()}
            assert not missing, f"records of Kafka that are in no visible row: {sorted(missing)}"
        finally:
            self.loop.close()

    def _there(self) -> set[str]:
        """Payloads of all records that Kafka has now."""
        logs = self.world.log.partitions.values()
        return {batch.payload.decode() for log in logs for batch in log.batches}

    def _is_landed(self) -> bool:
        return self._there() <= {row[3] for row in self.world.rows()}


def test_g3_each_record_is_visible_once_whatever_happens() -> None:
    run_state_machine_as_test(Protocol, settings=SETTINGS)


class Overwriting(Protocol):
    overwrites = True


async def _nothing_lost(*_: Any) -> list[Any]:
    return []


async def _no_difference(*_: Any) -> list[Any]:
    return []


async def _is_dead(*_: Any) -> bool:
    return True


def _never_completed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sink.lane, "find_lost", _nothing_lost)


def _never_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sink.guard, "differences", _no_difference)


def _swept_by_age(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sink.sweep, "_is_dead", _is_dead)


def _topic_not_read_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sink.lane.Lane, "_check_topic", lambda *_: None)


def _completed_before_the_entry(patch: pytest.MonkeyPatch) -> None:
    send = sink.upload.Uploads.send

    async def show_at_once(self: Any, *arguments: Any) -> Any:
        files = await send(self, *arguments)
        await sink.completion.find_lost(self._store, {file.key: (file,) for file in files})
        return files

    patch.setattr(sink.upload.Uploads, "send", show_at_once)


DROPPED: list[tuple[str, type[Protocol], Callable[[pytest.MonkeyPatch], None]]] = [
    ("entries are created once", Overwriting, lambda patch: None),
    ("step 3 is done again when a lane is taken", Protocol, _never_completed),
    ("Kafka's log is compared with what was landed", Protocol, _never_looked_at),
    ("the topic's id is read again before a commit", Protocol, _topic_not_read_again),
    ("uploads are completed after the entry", Protocol, _completed_before_the_entry),
    ("age alone permits no sweep", Protocol, _swept_by_age),
]


@pytest.mark.parametrize(("name", "machine", "drop"), DROPPED, ids=[name for name, *_ in DROPPED])
def test_g3_the_model_finds_what_breaks_without_a_rule(
    name: str,
    machine: type[Protocol],
    drop: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drop(monkeypatch)
    searching = settings(
        SETTINGS, max_examples=600, derandomize=True, phases=[Phase.generate], print_blob=False
    )
    with pytest.raises(AssertionError, match="visible"):
        run_state_machine_as_test(machine, settings=searching)


def test_g3_a_topic_id_that_was_read_before_the_log_is_not_believed() -> None:
    """Found by the model: one hangs with the old id while another lands the new topic."""
    state = Protocol()
    state.begin()
    slow = state.loop.start()
    for change in list(state.world.changes):
        state.loop.let(change)  # both have read the topic's id, and wait before the log
    state.recreate()
    for which in (0, 1):
        names = sorted(state.loop.tasks, key=lambda name: name == slow)
        state.advance(sorted(state.loop.tasks).index(names[which]), 20)
        state.nothing_is_visible_twice()
    state.teardown()


def test_g3_of_a_log_cut_below_several_leader_epochs_of_one_commit_nothing_is_landed_twice() -> None:
    """Found by the model: an entry's last epoch alone does not tell where the log differs."""
    state = Protocol()
    state.begin()
    state.advance(0, 12)
    for grown in (6, 2):
        state.cut(0, 0, grown)
    state.advance(0, 1)
    state.cut(0, 2, 0)
    state.advance(0, 25)
    state.nothing_is_visible_twice()
    state.teardown()
