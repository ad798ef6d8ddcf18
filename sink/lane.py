"""A lane, from column buffers to visible files: takes fed batches, gives one commit after another.

    take      read the log · origin if there is none · make visible what the last entry names
    feed      table_of, note: the open generation grows, in memory only
    commit    Parquet, uploaded but invisible → entry created (the commit) → uploads completed → HEAD

Safe whoever believes that they own the lane: of two entries for one sequence the store keeps one, and
whoever finds another's drops the rows and takes the lane again. A lane that was lost or failed holds
nothing; feeding it needs `take` first. Knows nothing of Kafka but names and offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import structlog

from _native.columns import ColumnBuffers, Fed, Promoted
from sink.commit_log import CommitLog, Lost
from sink.completion import find_lost, show, upload_of
from sink.entry import Entry, Gap, LandedFile, Rebuilt
from sink.entry_writer import EntryWriter
from sink.errors import LogError, StoreError
from sink.generation import Generation, Span
from sink.keys import sequence_of
from sink.log_head import LogHead, Position
from sink.store import Store, together
from sink.sweep import sweep
from sink.upload import Uploads

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Committed:
    """An entry that is ours, and whose files are visible."""

    sequence: int
    rows: int
    quarantined: int
    skipped: int
    files: int
    nbytes: int
    """Bytes of the files."""
    positions: Mapping[int, Position]
    """Where the entry ends, by Kafka partition: what lag tools may be told."""


class Lane:
    """One lane of a topic. One `take` or `commit` at a time; feeding may go on during a commit."""

    def __init__(
        self,
        store: Store,
        topic: str,
        lane: int,
        lanes: int,
        *,
        grace_us: int,
        writer: str,
        now_us: Callable[[], int],
        threads: Executor,
        columns: Sequence[Promoted] = (),
    ) -> None:
        """`writer` names this process for people; Parquet is written in `threads`."""
        self.topic = topic
        self.lane = lane
        self.lanes = lanes
        self.taken = False
        self.lost: tuple[LandedFile, ...] = ()
        """Committed files that are nowhere: to be rebuilt, each, before anything else is committed."""
        self._store = store
        self._log = CommitLog(store, topic, lane)
        self._entries = EntryWriter(
            topic, lane, lanes, grace_us=grace_us, writer=writer, now_us=lambda: self._now_us()
        )
        self._now_us = now_us
        self._uploads = Uploads(store, topic, lane, grace_us=grace_us, threads=threads)
        self._head = LogHead()
        self._positions: dict[int, Position] = {}
        self._columns = columns
        self._open = Generation(topic, columns)
        self._leaving: Generation | None = None

    async def take(self, topic_id: str, starts: Mapping[int, int]) -> dict[int, Position]:
        """Read where the lane stands and finish what was committed; positions by Kafka partition. Suspends.

        `starts`: first offset of each Kafka partition of the lane, used where the log has no origin yet.
        Whether Kafka's log is still the one that was landed is for the caller to find out before it feeds.
        LogError where a person is needed, StoreError (retriable) where the same may be tried again.
        """
        self.drop()
        head = await self._log.read()
        if head.last is None:
            generation = Generation(self.topic)
            generation.spans = {partition: Span(0, start, start) for partition, start in starts.items()}
            await self._log.append(self._entries.write("origin", head, topic_id, generation))
            head = await self._log.read()  # ours or another's: either is the origin
        assert head.last is not None
        # Whoever created it may have been killed before its name was durable; its files must not be seen
        # before.
        await self._store.settle(head.last.key)
        self.lost = tuple(await find_lost(self._store, head.unseen))
        await sweep(self._store, self._log, head)
        self._head = head
        self._positions = dict(head.positions)
        self.taken = True
        log.info("lane_taken", topic=self.topic, lane=self.lane, sequence=head.next_sequence)
        return dict(self._positions)

    @property
    def topic_id(self) -> str | None:
        """The id of the topic that was landed last; of a lane that was taken."""
        return self._head.topic_id

    async def epochs(self, partition: int) -> list[tuple[int, int]]:
        """The leader epochs of a Kafka partition's log as it was landed, with first offsets. Suspends."""
        return await self._log.epochs(partition)

    async def entry_of(self, file: LandedFile) -> Entry:
        """The entry that named a file first. Suspends."""
        return await self._log.entry(sequence_of(file.key))

    async def record(self, topic_id: str, gaps: Mapping[Gap, tuple[int, int] | None]) -> bool:
        """Commit that Kafka's log is another; False: another's entry was first. `take` again in any case.

        By gap the batch before its `first`, if there is one. What is held is dropped.
        """
        assert self.taken, "a lane must be taken before it records a gap"
        assert not self.lost, "a lost file is rebuilt or given up first"
        generation = Generation(self.topic)
        for gap, last_batch in gaps.items():
            span = Span(gap.next_incarnation, gap.first, gap.first, last_batch=last_batch)
            generation.spans[gap.partition] = span
        self.drop()
        entry = self._entries.write("gap", self._head, topic_id, generation, gaps=tuple(gaps))
        if isinstance(await self._log.append(entry), Lost):
            return False
        for gap in gaps:
            log.error("gap_recorded", topic=self.topic, lane=self.lane, **gap.model_dump())
        return True

    async def restore(
        self, file: LandedFile, buffers: ColumnBuffers, lost: Sequence[tuple[int, int, int]]
    ) -> bool:
        """Commit a lost file, written again from `buffers`, and show it; False: another was first. Suspends.

        `lost`: (Kafka partition, first, next) of rows that could not be read again; without rows there is no
        file. `take` again in any case: further ones may be lost.
        """
        assert self.taken, "a lane must be taken before a file is rebuilt"
        assert file in self.lost
        sequence = sequence_of(file.key)
        files = [await self._uploads.send_again(file, sequence, buffers)] if buffers.rows else []
        rebuilt = Rebuilt(key=file.key, sequence=sequence, lost=tuple(lost))
        head = self._head
        entry = self._entries.write(
            "rebuild", head, head.topic_id or "", Generation(self.topic), files=files, rebuilt=rebuilt
        )
        self.drop()
        if isinstance(await self._log.append(entry), Lost):
            await self._give_up(files)
            return False
        await show(self._store, files)
        log.error("file_rebuilt", topic=self.topic, lane=self.lane, key=file.key, lost=rebuilt.lost)
        return True

    def position(self, partition: int) -> Position:
        """Where feeding of a Kafka partition goes on; one that the log does not know begins at 0."""
        return self._positions.get(partition, Position(0, 0))

    def table_of(self, hour: int, quarantine: bool) -> ColumnBuffers:
        """The buffers of an hour since 1970 UTC, for the decoder."""
        return self._open.table_of(hour, quarantine)

    def note(self, partition: int, fed: Fed, epochs: Sequence[tuple[int, int]] = ()) -> None:
        """Account for one feed, which began at `position`. LogError `gap`: all is dropped.

        `epochs`: leader epochs that begin in it, with their first offsets.
        To be called after each feed and before the next commit: rows and ranges leave together.
        """
        assert self.taken, "a lane must be taken before it is fed"
        before = self.position(partition)
        if fed.holes:
            first, next_ = fed.holes[0]
            self.drop()
            told = f"Kafka partition {partition} has no record for offsets [{first}, {next_}), and no reason"
            raise LogError("gap", f"{self.topic}: {told}")
        covered = fed.rows + fed.quarantined + sum(next_ - first for first, next_, _ in fed.skipped)
        assert fed.next_offset - covered == before.next, (partition, before, fed)
        if not covered:
            return
        if self._open.opened_us is None:
            self._open.opened_us = self._now_us()
        self._open.note(partition, Span(before.incarnation, before.next, before.next), fed, epochs)
        last_batch = fed.last_batch or before.last_batch
        self._positions[partition] = Position(before.incarnation, fed.next_offset, last_batch)

    @property
    def nbytes(self) -> int:
        """Bytes of rows that are held, those under way to the store included."""
        return self._open.nbytes + (self._leaving.nbytes if self._leaving else 0)

    @property
    def open_nbytes(self) -> int:
        """Bytes of rows that the next commit lands."""
        return self._open.nbytes

    @property
    def opened_us(self) -> int | None:
        """When the first feed of the open generation was noted; None: there is nothing to commit."""
        return self._open.opened_us

    @property
    def full(self) -> bool:
        """Commit before anything more is fed."""
        return self._open.full

    @property
    def committing(self) -> bool:
        """A commit is under way."""
        return self._leaving is not None

    async def commit(self, topic_id: str) -> Committed | Lost:
        """Land the open generation; a new one opens at once. Suspends.

        `topic_id` was read from Kafka after the last fetch. Lost, or any error, drops all that is held,
        what was fed meanwhile included: `take` again. After an error the entry may have been created:
        `take` finds out.
        """
        assert self.taken, "a lane must be taken before it commits"
        assert self._leaving is None, "one commit at a time"
        assert not self.lost, "a lost file must be rebuilt before anything else is committed"
        assert self._open.spans, "nothing to commit"
        leaving = self._leaving = self._open
        self._open = Generation(self.topic, self._columns)
        committed = False
        try:
            self._check_topic(self._head.topic_id, topic_id)
            files = await self._uploads.send(leaving, self._head.next_sequence)
            entry = self._entries.write("data", self._head, topic_id, leaving, files=files)
            outcome = await self._log.append(entry)
            if isinstance(outcome, Lost):
                await self._give_up(files)
                return outcome
            self._head.follow(entry, outcome.sha256)
            await show(self._store, files)
            committed = True
            if await self._log.mark(self._head):
                await sweep(self._store, self._log, self._head)
        finally:
            self._leaving = None
            if not committed:
                self.drop()
        return self._told(entry)

    def drop(self) -> None:
        """Forget everything that is not committed. The lane must be taken before it is fed again."""
        self.taken = False
        self._open = Generation(self.topic, self._columns)

    def _told(self, entry: Entry) -> Committed:
        nbytes = sum(file.bytes for file in entry.files)
        log.info(
            "entry_committed",
            topic=self.topic,
            lane=self.lane,
            sequence=entry.sequence,
            rows=entry.rows,
            quarantined=entry.quarantined,
            files=len(entry.files),
            bytes=nbytes,
        )
        positions = {partition: self._head.positions[partition] for partition in entry.offsets}
        counts = (entry.rows, entry.quarantined, entry.skipped)
        return Committed(entry.sequence, *counts, len(entry.files), nbytes, positions)

    def _check_topic(self, landed: str | None, topic_id: str) -> None:
        if landed != topic_id:
            told = f"landed from topic id {landed}, Kafka has {topic_id}: the topic was created anew"
            raise LogError("topic_recreated", f"{self.topic}: {told}", retriable=True)

    async def _give_up(self, files: Sequence[LandedFile]) -> None:
        """Throw our uploads away: the entry of their sequence exists and does not name them."""
        log.warning("commit_lost", topic=self.topic, lane=self.lane, sequence=self._head.next_sequence)
        try:
            await together([self._store.abort(upload_of(file)) for file in files])
        except StoreError as error:
            log.warning("upload_left", topic=self.topic, lane=self.lane, reason=str(error))
