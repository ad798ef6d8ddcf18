"""Between pack and produce: batches of a broker gather while its last round is out; requests wait.

Takes records through `TopicBatches.open`, gives finished batches to a producer, a *round* at a time, and
one outcome per batch to the requests that touched it. aiokafka has one ProduceRequest in flight per broker
with at most one batch per Kafka partition; so the unit is the broker: what comes while a round is out goes
out together as soon as that one ends. Low load gives low latency, high load large batches; there is no
linger.

What is always true:
- of one broker at most one round is out; a full batch's successor stands in a later round, so that a Kafka
  partition keeps the order of its records;
- a round that was not handed over in time is withdrawn whole: nothing of it went out. One that is out can't
  be withdrawn: its requests are told that the outcome is unknown; its bytes are pending until the producer
  is done;
- from `open` to `outcome` nothing waits, so a batch can't be handed over between a request's records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from ingest import metrics
from ingest.broker_rounds import Batch, BrokerRounds, Entry, KafkaPartition, Outlet, Round
from ingest.errors import ProduceError
from ingest.outcome import Outcome

ROUND_BYTES_MAX = (
    32 * 1024 * 1024
)  # a ProduceRequest must stay below Kafka's socket.request.max.bytes, 100 MiB
BATCH_OVERHEAD_BYTES = 128  # batch header (61) and what the offset and time deltas of a first record may need

log = structlog.get_logger()


class TopicBatches:
    """The open batches of one topic, as `_native.pack` asks for them."""

    def __init__(self, rounds: Rounds, topic: str, partitions: int) -> None:
        self.partitions = partitions
        self._rounds = rounds
        self._topic = topic

    def open(self, partition: int, size: int) -> Batch:
        """The batch of this Kafka partition that has room for a record of `size` bytes. Does not suspend."""
        return self._rounds.open((self._topic, partition), size)


class Rounds:
    """All rounds of one worker, bounded in bytes."""

    def __init__(
        self,
        outlet: Outlet,
        new_batch: Callable[[int], Batch],
        *,
        batch_bytes_max: int,
        pending_bytes_max: int,
        produce_timeout_seconds: float,
    ) -> None:
        """`new_batch(bytes_max)` makes an empty batch with room for so many bytes before compression."""
        self.pending_bytes = 0
        self._outlet = outlet
        self._new_batch = new_batch
        self._batch_bytes_max = batch_bytes_max
        self._pending_bytes_max = pending_bytes_max
        self._timeout_seconds = produce_timeout_seconds
        self._current: dict[KafkaPartition, Entry] = {}
        self._entries: dict[Batch, Entry] = {}
        self._homes: dict[KafkaPartition, BrokerRounds] = {}
        self._brokers: dict[int, BrokerRounds] = {}
        self._topics: dict[str, TopicBatches] = {}
        self._done: list[Outcome] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._closing = False

    async def run(self) -> None:
        """Hand rounds over until cancelled; whoever still waits then is told that the outcome is unknown."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await asyncio.Event().wait()
        finally:
            self._tasks = None
            self._current.clear()
            for entry in list(self._entries.values()):
                self._settle(entry, ProduceError("outcome_unknown", "the collector stopped", retriable=True))
            self._tell()

    def batches(self, topic: str) -> TopicBatches:
        """The open batches of a topic. Raises ProduceError where nothing can be accepted for it now."""
        if self._closing:
            raise ProduceError("stopping", "the collector is stopping", retriable=True)
        if (refusal := self._outlet.refusal()) is not None:
            raise refusal
        if not (partitions := self._outlet.partition_count(topic)):
            raise ProduceError("topic_unusable", f"topic {topic} is missing or unusable", retriable=True)
        batches = self._topics.get(topic)
        if batches is None:
            batches = self._topics[topic] = TopicBatches(self, topic, partitions)
        batches.partitions = partitions  # their number may grow
        return batches

    def room(self, size: int) -> bool:
        """Whether `size` more bytes may be taken now; false means refuse at once."""
        return self.pending_bytes + size <= self._pending_bytes_max

    def open(self, where: KafkaPartition, size: int) -> Batch:
        entry = self._current.get(where)
        if entry is not None and entry.batch.size() + size <= entry.bytes_max:
            return entry.batch
        assert self._tasks is not None, "rounds are not running"
        home = self._home(where)
        round_ = home.round_after_last_of(where) or self._new_round(home)
        bytes_max = min(self._batch_bytes_max, self._outlet.batch_bytes_max(where[0]))
        bytes_max = max(bytes_max, size + BATCH_OVERHEAD_BYTES)
        entry = Entry(self._new_batch(bytes_max), where, bytes_max)
        round_.entries[where] = self._current[where] = self._entries[entry.batch] = entry
        self._empty.clear()
        home.filled.set()
        return entry.batch

    def outcome(self, touched: Iterable[Batch]) -> Outcome:
        """Done when every touched batch is in the log, failed with ProduceError as soon as one is not.

        Call it before anything suspends after packing. It is known within produce_timeout_seconds.
        """
        batches = dict.fromkeys(touched)
        outcome = Outcome(len(batches))
        for batch in batches:
            entry = self._entries[batch]
            entry.waiters.append(outcome)
            self._count(entry)
        return outcome

    async def flush(self, seconds: float) -> int:
        """Take nothing more, wait until all is settled. Returns how many records are not, after `seconds`."""
        self._closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()
        return sum(entry.batch.record_count() for entry in self._entries.values())

    def _home(self, where: KafkaPartition) -> BrokerRounds:
        """The broker's rounds; a Kafka partition stays where it has batches, even if its leader moved."""
        home = self._homes.get(where)
        if home is not None and home.holds(where):
            return home
        leader = self._outlet.leader_of(*where)
        if leader not in self._brokers:
            assert self._tasks is not None
            self._brokers[leader] = BrokerRounds()
            self._tasks.create_task(self._pump(self._brokers[leader]), name=f"rounds of broker {leader}")
        home = self._homes[where] = self._brokers[leader]
        return home

    def _new_round(self, home: BrokerRounds) -> Round:
        loop = asyncio.get_running_loop()
        round_ = Round(loop.time() + self._timeout_seconds)
        round_.timer = loop.call_at(round_.deadline, self._expire, home, round_)
        home.gathering.append(round_)
        return round_

    async def _pump(self, home: BrokerRounds) -> None:
        while True:
            await home.filled.wait()
            await self._outlet.wait_ready()
            if not home.gathering:
                home.filled.clear()
                continue
            home.out = self._take(home)
            try:
                await self._deliver(home.out)
                self._tell()
            finally:
                if home.out.timer is not None:
                    home.out.timer.cancel()
                home.out = None

    def _take(self, home: BrokerRounds) -> Round:
        """The oldest round, or as much of it as one request may hold; the rest stays first in line."""
        loop = asyncio.get_running_loop()
        oldest = home.gathering[0]
        out = Round(oldest.deadline)
        size = 0
        for where, entry in list(oldest.entries.items()):
            self._count(entry)
            if out.entries and size + entry.pending_bytes > ROUND_BYTES_MAX:
                break
            size += entry.pending_bytes
            out.entries[where] = oldest.entries.pop(where)
            if self._current.get(where) is entry:
                del self._current[where]
        if not oldest.entries:
            self._drop(home, oldest)
        out.timer = loop.call_at(out.deadline, self._give_up, out)
        metrics.PENDING_BYTES.set(self.pending_bytes)
        return out

    async def _deliver(self, out: Round) -> None:
        ready: dict[KafkaPartition, Batch] = {}
        for where, entry in out.entries.items():
            if not (records := entry.batch.record_count()):
                self._settle(entry, None)  # its request found no room for the record after all
                continue
            raw_bytes = entry.batch.size()
            entry.batch.seal()
            size, size_max = entry.batch.size(), self._outlet.batch_bytes_max(where[0])
            if size > size_max:
                text = f"a record batch has {size} bytes, topic {where[0]} takes at most {size_max}"
                self._settle(entry, ProduceError("batch_too_large", text))
            else:
                ready[where] = entry.batch
                metrics.batch_sealed(records, raw_bytes, size)
        if not ready:
            return
        started = asyncio.get_running_loop().time()
        outcomes = await self._outlet.send(ready)
        metrics.PRODUCE_SECONDS.observe(asyncio.get_running_loop().time() - started)
        for where in ready:
            self._settle(out.entries[where], outcomes[where])

    def _settle(self, entry: Entry, error: ProduceError | None) -> None:
        """A batch is in the log, or not. Who is told of it answers at once, so `_tell` comes last."""
        if self._entries.pop(entry.batch, None) is None:
            return
        self.pending_bytes -= entry.pending_bytes
        self._done += [outcome for outcome in entry.waiters if outcome.settle(error)]
        if not self._entries:
            self._empty.set()

    def _count(self, entry: Entry) -> None:
        """Count what was appended since the last look, in bytes before compression."""
        size = entry.batch.size()
        self.pending_bytes += size - entry.pending_bytes
        entry.pending_bytes = size

    def _tell(self) -> None:
        """Let the requests go on whose outcome is known, once all that belongs to it is settled."""
        metrics.PENDING_BYTES.set(self.pending_bytes)
        done, self._done = self._done, []
        for outcome in done:
            outcome.tell()

    def _expire(self, home: BrokerRounds, round_: Round) -> None:
        """A round that nobody took in time is withdrawn: nothing of it went out."""
        self._drop(home, round_)
        log.warning("round_withdrawn", batches=len(round_.entries), after_seconds=self._timeout_seconds)
        text = f"Kafka took nothing for {self._timeout_seconds} s; nothing of this went out"
        for where, entry in round_.entries.items():
            if self._current.get(where) is entry:
                del self._current[where]
            self._settle(entry, ProduceError("produce_timeout", text, retriable=True))
        self._tell()

    def _give_up(self, out: Round) -> None:
        """A round that is out too long can't be withdrawn: its requests learn that nobody knows."""
        text = f"Kafka did not answer within {self._timeout_seconds} s; it may or may not have the events"
        error = ProduceError("outcome_unknown", text, retriable=True)
        for entry in out.entries.values():
            self._done += [outcome for outcome in entry.waiters if outcome.settle(error)]
        self._tell()

    def _drop(self, home: BrokerRounds, round_: Round) -> None:
        if round_.timer is not None:
            round_.timer.cancel()
        home.gathering.remove(round_)
