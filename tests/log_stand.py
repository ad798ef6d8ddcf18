"""Kafka's log of one topic for tests, in memory: appended to, cut, made anew, and away when told to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from struct import pack_into

from _native.batch import RecordBatch
from sink.errors import BrokerError
from sink.fetch import Fetched

HOUR_US = 472_222 * 3_600_000_000  # 2023-11-14T22
WAIT_SECONDS = 0.005
FETCHED_MAX = 8  # batches of one answer
OFFSET_AT, EPOCH_AT = 0, 12


@dataclass
class Batch:
    base: int
    next: int
    epoch: int
    data: bytes
    payload: bytes = b""


@dataclass
class Partition:
    epoch: int = 0
    first: int = 0
    batches: list[Batch] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.batches[-1].next if self.batches else self.first


class ScriptedLog:
    """What a landing asks of Kafka (`Source`) and where its batches come from (`Records`)."""

    def __init__(self, partitions: int = 1) -> None:
        self.topic_id = "first"
        self.partitions = {number: Partition() for number in range(partitions)}
        self.away = False
        self.asked: list[str] = []
        self.fetched = 0

    def append(self, partition: int, rows: int, *, payload: bytes = b"{}", hours: int = 0) -> None:
        """One batch of events, received `hours` after HOUR_US."""
        log = self.partitions[partition]
        batch = RecordBatch("none", 1 << 24)
        received_us = HOUR_US + hours * 3_600_000_000
        for number in range(rows):
            headers = [
                (b"hr_seq", b"12345678" + (log.end + number).to_bytes(8, "big")),
                (b"hr_time", received_us.to_bytes(8, "big")),
                (b"content-type", b"application/json"),
            ]
            assert batch.append(None, payload, headers, received_us // 1000)
        batch.seal()
        data = bytearray(batch._build())
        pack_into(">q", data, OFFSET_AT, log.end)
        pack_into(">i", data, EPOCH_AT, log.epoch)
        log.batches.append(Batch(log.end, log.end + rows, log.epoch, bytes(data), payload))

    def cut(self, partition: int, end: int) -> None:
        """The batches from `end` on are gone; another leader goes on."""
        log = self.partitions[partition]
        log.batches = [batch for batch in log.batches if batch.next <= end]
        log.epoch += 1

    def retain(self, partition: int, first: int) -> None:
        """Retention has taken all before `first`."""
        log = self.partitions[partition]
        log.batches = [batch for batch in log.batches if batch.next > first]
        log.first = first

    def recreate(self, topic_id: str) -> None:
        self.topic_id = topic_id
        self.partitions = {number: Partition() for number in self.partitions}

    def lane_partitions(self, lane: int, lanes: int) -> list[int]:
        return [number for number in self.partitions if number % lanes == lane]

    async def id(self) -> str | None:
        self._answer("id")
        return self.topic_id

    async def first_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        self._answer("first_offsets")
        return {number: self.partitions[number].first for number in partitions}

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        self._answer("end_offsets")
        return {number: self.partitions[number].end for number in partitions}

    async def epoch_ends(self, epochs: Mapping[int, int]) -> dict[int, tuple[int, int]]:
        self._answer("epoch_ends")
        return {number: self._epoch_end(number, epoch) for number, epoch in epochs.items()}

    async def batch_at(self, partition: int, offset: int) -> tuple[int, int] | None:
        self._answer("batch_at")
        for batch in self.partitions[partition].batches:
            if batch.base <= offset < batch.next:
                return (batch.base, batch.epoch)
        return None

    async def next(self, offsets: Mapping[int, int]) -> list[Fetched]:
        self._answer("next")
        found = [self._fetched(number, offset) for number, offset in offsets.items()]
        if not any(one.batches for one in found):
            await asyncio.sleep(WAIT_SECONDS)
        self.fetched += sum(len(one.batches) for one in found)
        return found

    def close(self) -> None:
        """Nothing is under way."""

    def _fetched(self, number: int, offset: int) -> Fetched:
        log = self.partitions[number]
        if not log.first <= offset <= log.end:
            raise BrokerError("out_of_range", f"{offset} of [{log.first}, {log.end}]", retriable=True)
        some = [batch.data for batch in log.batches if batch.next > offset][:FETCHED_MAX]
        return Fetched(number, offset, log.end, log.first, (), b"".join(some))

    def _epoch_end(self, number: int, epoch: int) -> tuple[int, int]:
        """As Kafka's LeaderEpochFileCache.endOffsetFor answers."""
        log = self.partitions[number]
        starts: dict[int, int] = {}
        for batch in log.batches:
            starts.setdefault(batch.epoch, batch.base)
        if starts and epoch == max(starts):
            return (epoch, log.end)
        higher = [start for known, start in starts.items() if known > epoch]
        if not higher:
            return (-1, -1)
        floor = [known for known in starts if known <= epoch]
        return (max(floor) if floor else epoch, min(higher))

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        if self.away:
            raise BrokerError("kafka_unavailable", "no answer from Kafka", retriable=True)
