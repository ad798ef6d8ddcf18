"""Between pack and produce: which rounds of one broker gather, which one is out, and what they consist of.

`ingest.rounds` fills these and moves them on; nothing here suspends or decides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ingest.errors import ProduceError
from ingest.outcome import Outcome

KafkaPartition = tuple[str, int]  # topic, index


class Batch(Protocol):
    """What is asked here of `_native.batch.RecordBatch`."""

    def record_count(self) -> int: ...
    def size(self) -> int: ...
    def seal(self) -> None: ...


class Outlet(Protocol):
    """What is asked here of `ingest.produce.Producer`."""

    def refusal(self) -> ProduceError | None: ...
    def partition_count(self, topic: str) -> int: ...
    def leader_of(self, topic: str, partition: int) -> int: ...
    def batch_bytes_max(self, topic: str) -> int: ...
    async def wait_ready(self) -> None: ...
    async def send(
        self, batches: Mapping[KafkaPartition, Batch]
    ) -> Mapping[KafkaPartition, ProduceError | None]: ...


@dataclass(slots=True, eq=False)
class Entry:
    """One batch on its way: whose records it holds, and the bytes that it counts as pending."""

    batch: Batch
    where: KafkaPartition
    bytes_max: int
    pending_bytes: int = 0
    waiters: list[Outcome] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Round:
    """Batches of one broker that go out together, at most one per Kafka partition."""

    deadline: float
    entries: dict[KafkaPartition, Entry] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class BrokerRounds:
    """The rounds of one broker: those that gather, oldest first, and the one that is out."""

    def __init__(self) -> None:
        self.gathering: deque[Round] = deque()
        self.out: Round | None = None
        self.filled = asyncio.Event()

    def holds(self, where: KafkaPartition) -> bool:
        if self.out is not None and where in self.out.entries:
            return True
        return any(where in round_.entries for round_ in self.gathering)

    def round_after_last_of(self, where: KafkaPartition) -> Round | None:
        """The round in which a new batch of this Kafka partition belongs, if it is there already."""
        fitting: Round | None = None
        for round_ in reversed(self.gathering):
            if where in round_.entries:
                break
            fitting = round_
        return fitting
