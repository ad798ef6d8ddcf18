"""Landing of one lane: takes record batches from its fetcher, gives commits, by size and by age.

    take ─▶ fetch ─▶ decode (in threads) ─▶ note ─▶ due? ─▶ read the topic id ─▶ commit ─▶ tell Kafka
     ▲                                                                             │
     └──────────────────── another's entry, or the store failed: all dropped ◀─────┘

Fetching goes on while a commit is under way; a feed and the beginning of a commit never overlap, because the
rows of one feed and their offsets must leave together. Kafka down: what is held stays. Whatever goes wrong
stops this lane and no other, until it is over (`sink.trouble`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final

import structlog

from _native.columns import Decoder
from _native.record import TOPIC_QUARANTINE
from sink import metrics
from sink.budget import Budget
from sink.commit_log import Lost
from sink.errors import BrokerError, SinkError
from sink.fetch import Fetched, Records
from sink.guard import Guard
from sink.lane import Committed, Lane
from sink.log_check import Difference, new_epochs
from sink.progress import Progress
from sink.rebuild import rebuild
from sink.settings import MIB, TableSettings
from sink.topic_log import Source
from sink.trouble import Stage, Trouble

RECORD_BYTES_MAX: Final = 64 * MIB  # what one batch inflates to, and about what one feed adds
REST_SECONDS: Final = 0.05  # how often a lane that may not fetch looks again

log = structlog.get_logger()


class Landing:
    """The loop of one lane; `run` is its task."""

    def __init__(
        self,
        lane: Lane,
        source: Source,
        records: Records,
        table: TableSettings,
        budget: Budget,
        *,
        now_us: Callable[[], int],
        threads: Executor,
        tell: Callable[[str, Mapping[int, int]], None],
    ) -> None:
        """`tell` is given topic and landed offsets by Kafka partition, for lag tools."""
        self.lane = lane
        self.topic = lane.topic
        self.progress = Progress()
        self.trouble = Trouble(lane.topic, lane.lane)
        self._source = source
        self._guard = Guard(lane, source, table.on_gap)
        self._records = records
        self._table = table
        self._budget = budget
        self._now_us = now_us
        self._threads = threads
        self._tell = tell
        self._decoder = Decoder(
            lane.table_of,
            grace_us=int(table.seal_grace_seconds * 1_000_000),
            record_bytes_max=RECORD_BYTES_MAX,
            quarantine_topic=lane.topic == TOPIC_QUARANTINE,
            columns=table.promoted,
        )
        self._commit: asyncio.Task[Committed | Lost] | None = None
        self._commit_began = 0.0
        self._asked = False
        self._ending = False
        self._woken = asyncio.Event()
        self._empty = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """A person is needed."""
        return self.trouble.stopped

    @property
    def relieving(self) -> bool:
        """A commit is under way, or will be."""
        return self._asked or self._commit is not None

    def status(self) -> dict[str, Any]:
        """As the status line tells it; offsets are those that have landed."""
        told = {"topic": self.topic, "lane": self.lane.lane, "buffered_bytes": self.lane.nbytes}
        return told | self.progress.status(self._now_us()) | self.trouble.status()

    def unlanded(self) -> dict[str, Any]:
        """Offsets that were read and are not landed: Kafka keeps their records for the next owner."""
        told: dict[str, Any] = {"topic": self.topic, "lane": self.lane.lane, "records": 0}
        if self.lane.taken:
            landed = self.progress.landed.items()
            told["records"] = sum(self.lane.position(at).next - first for at, first in landed)
        return told

    def ask(self) -> None:
        """Commit what is held soon; nothing is fetched before."""
        self._asked = True
        self._woken.set()

    async def flush(self) -> None:
        """Suspends until nothing is held: committed, or dropped."""
        if not self.lane.taken:
            return
        self._empty.clear()
        self.ask()
        await self._empty.wait()

    def end(self) -> None:
        """Commit what is held; then `run` returns."""
        self._ending = True
        self._woken.set()

    async def run(self) -> None:
        """Land until `end`, whatever happens (`trouble` says what). Suspends."""
        self._budget.add(self)
        try:
            while not self._ending:
                await self._attempt()
        finally:
            if self._commit is not None:
                self._commit.cancel()  # whoever takes the lane next finishes what was committed
            self.lane.drop()
            self._records.close()
            self._budget.remove(self)
            self._empty.set()

    async def _attempt(self) -> None:
        """Take the lane and land until it is lost; errors end here."""
        problem: SinkError | None = None
        try:
            await self._land()
            if self._commit is not None:
                await self._finish_commit()
        except SinkError as error:
            problem = error
        except Exception as error:  # the outcome is kept, and other lanes go on
            log.exception("lane_failed", topic=self.topic, lane=self.lane.lane)
            problem = SinkError("lane_failed", f"{type(error).__name__}: {error}", retriable=True)
        if problem is not None:
            await self._let_go()
            await self._rest(self.trouble.failed(problem))

    async def _land(self) -> None:
        self.trouble.begin(Stage.TAKE)
        topic_id = await self._topic_id()
        positions = await self.lane.take(topic_id, await self._source.first_offsets(self._partitions()))
        self._records.close()
        self.progress.take(positions)
        # Only now: what Kafka said before the log was read may be older than what others have landed.
        topic_id = await self._topic_id()
        found = await self._guard.look(topic_id, positions)
        if self.lane.lost:
            await self._rebuild(found)
            return
        if found:
            await self._guard.record(topic_id, found)
            return
        self.trouble.passed(Stage.TAKE)
        while self.lane.taken:
            held = self.lane.opened_us is not None or self._commit is not None
            if not held:
                self._asked = False
                self._empty.set()
                if self._ending:
                    return
            await self._turn()

    async def _rebuild(self, found: Sequence[Difference]) -> None:
        await rebuild(
            self.lane,
            self._source,
            self._records,
            found,
            columns=self._table.promoted,
            threads=self._threads,
            record_bytes_max=RECORD_BYTES_MAX,
        )

    async def _turn(self) -> None:
        if self._commit is not None and self._commit.done():
            await self._finish_commit()
        elif self._commit is None and self._due():
            await self._begin_commit()
        elif self._asked or self._ending or self.lane.full or self._budget.full():
            await self._rest(REST_SECONDS)
        else:
            await self._fetch()

    def _due(self) -> bool:
        opened_us = self.lane.opened_us
        if opened_us is None:
            return False
        if self._asked or self._ending or self.lane.full or self.lane.open_nbytes >= self._table.roll_bytes:
            return True
        return self._now_us() - opened_us >= self._table.roll_seconds * 1_000_000

    async def _fetch(self) -> None:
        self.trouble.begin(Stage.FETCH)
        offsets = {at: self.lane.position(at).next for at in self._partitions()}
        try:
            found = await self._records.next(offsets)
        except BrokerError as error:
            if not error.retriable or error.code == "out_of_range":
                raise  # what Kafka has must be looked at first
            await self._rest(self.trouble.failed(error))
            return
        for fetched in found:
            await self._feed(fetched)
        self.trouble.passed(Stage.FETCH)

    async def _feed(self, fetched: Fetched) -> None:
        at = fetched.partition
        self.progress.see(at, fetched.stable_offset)
        before = self.lane.position(at)
        if not fetched.batches or not self.lane.taken or fetched.offset > before.next:
            return
        metrics.BYTES_FETCHED.labels(self.topic).inc(len(fetched.batches))
        fed = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: self._decoder.feed(at, before.incarnation, before.next, fetched.batches, fetched.aborted),
        )
        if fed.last_batch and not await self._guard.continues(at, before, fed.last_batch[1]):
            self.lane.drop()  # taking it again says what is to be done
        if self.lane.taken:  # else a commit failed meanwhile, and all was dropped
            self.lane.note(at, fed, new_epochs(before, fed, fetched.batches))
            self.progress.read(fed.appended_us_max)
            metrics.count_nulled(self.topic, fed.nulled)

    async def _begin_commit(self) -> None:
        self.trouble.begin(Stage.COMMIT)
        try:
            topic_id = await self._topic_id()  # after the last fetch (PROTOCOL 3, step 1)
        except BrokerError as error:
            await self._rest(self.trouble.failed(error))
            return
        self._commit_began = time.monotonic()
        self.progress.leave()
        self._commit = asyncio.create_task(self.lane.commit(topic_id))  # style: awaited by _finish_commit
        await asyncio.sleep(0)  # its rows leave the open generation before anything more is fed

    async def _finish_commit(self) -> None:
        assert self._commit is not None
        commit, self._commit = self._commit, None
        self.trouble.begin(Stage.COMMIT)
        try:
            outcome = await commit
        except SinkError:
            metrics.COMMITS.labels(self.topic, "failed").inc()
            raise
        if isinstance(outcome, Lost):
            metrics.COMMITS.labels(self.topic, "lost").inc()
            return
        metrics.count_commit(self.topic, outcome, time.monotonic() - self._commit_began)
        self.trouble.passed(Stage.COMMIT)
        self._tell(self.topic, self.progress.land(outcome, self._now_us()))

    async def _let_go(self) -> None:
        """After an error: hold nothing; a commit under way ends first, whatever its outcome."""
        if self._commit is not None:
            await asyncio.wait([self._commit])
            try:
                await self._finish_commit()
            except SinkError as error:
                log.warning("commit_failed", topic=self.topic, lane=self.lane.lane, reason=str(error))
            except Exception:  # beside a fault that is kept already; the lane is read again
                log.exception("commit_failed", topic=self.topic, lane=self.lane.lane)
        self.lane.drop()
        self._asked = False
        self._empty.set()

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()  # whoever woke it meanwhile is heard now

    async def _topic_id(self) -> str:
        topic_id = await self._source.id()
        if topic_id is None:
            raise BrokerError("kafka_unavailable", f"{self.topic}: there is no such topic", retriable=True)
        return topic_id

    def _partitions(self) -> list[int]:
        return self._source.lane_partitions(self.lane.lane, self.lane.lanes)
