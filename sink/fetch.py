"""Fetch: takes the positions of a lane, gives undecoded record batches of its Kafka partitions.

One request per leader is under way, on a connection of the lane's own: a broker answers the requests of a
connection one after the other, so a long poll of one lane never delays another's. Offsets are those that
were asked for, always: nothing here resets a position.

Source: Kafka FetchRequest.json version 11 (isolation level 1: read_committed, KIP-98).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog
from aiokafka.protocol.fetch import FetchRequest

from sink.errors import BrokerError
from sink.kafka_log import NO_LEADER, KafkaLog

WAIT_MS_MAX: Final = 250  # a long poll: how long a broker holds a request that it has nothing for
READ_COMMITTED: Final = 1
OUT_OF_RANGE: Final = 1
MOVED: Final = {
    3: "no such Kafka partition",
    5: "no leader",
    6: "not the leader",
    9: "replica not available",
    56: "storage error",
    74: "old leader epoch",
    75: "unknown leader epoch",
    78: "offset not available yet",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a leader answered for one Kafka partition; offsets are ends, the offset behind the last."""

    partition: int
    offset: int
    """What was asked for."""
    stable_offset: int
    """End of what may be read (last stable offset)."""
    log_start_offset: int
    aborted: Sequence[tuple[int, int]]
    """Producer id and first offset of each aborted transaction in `batches`."""
    batches: bytes


class Records(Protocol):
    """What gives a landing its record batches."""

    async def next(self, offsets: Mapping[int, int]) -> list[Fetched]:
        """Whatever comes first, from these offsets on."""

    def close(self) -> None:
        """Forget what is under way."""


class Fetcher:
    """The fetches of one lane. One caller at a time; `close` before it is thrown away."""

    def __init__(self, kafka: KafkaLog, topic: str, lane: int, *, bytes_max: int) -> None:
        """`bytes_max`: of one answer; a leader sends one whole batch even where it is larger."""
        self._kafka = kafka
        self._topic = topic
        self._group = ("fetch", topic, lane)
        self._bytes_max = bytes_max
        self._under_way: dict[int, asyncio.Task[list[Fetched]]] = {}
        self._turn = 0

    async def next(self, offsets: Mapping[int, int]) -> list[Fetched]:
        """Answers of the leader that answers first; `offsets`: where reading goes on, by Kafka partition.

        Suspends, for about WAIT_MS_MAX where there is nothing. BrokerError (retriable): `out_of_range` where
        Kafka's log must be looked at before anything more is fetched; others have asked for fresh leaders.
        """
        leaders = self._kafka.topics[self._topic].leaders if self._topic in self._kafka.topics else {}
        wanted: dict[int, dict[int, int]] = {}
        for partition, offset in offsets.items():
            wanted.setdefault(leaders.get(partition, NO_LEADER), {})[partition] = offset
        leaderless = wanted.pop(NO_LEADER, {})
        # One that has just moved may still be in a request to its old leader, and then comes twice: whoever
        # decodes it passes over what lies before the position.
        for node in wanted.keys() - self._under_way.keys():
            question = self._ask(node, wanted[node])
            self._under_way[node] = asyncio.create_task(question)  # style: outlives a call; ends in close()
        if not self._under_way:
            await self._kafka.refresh()
            told = f"{self._topic}: Kafka partitions {sorted(leaderless)} have no leader"
            raise BrokerError("kafka_unavailable", told, retriable=True)
        await asyncio.wait(self._under_way.values(), return_when=asyncio.FIRST_COMPLETED)
        node = next(node for node, task in self._under_way.items() if task.done())
        return self._under_way.pop(node).result()

    def close(self) -> None:
        """Forget what is under way. Does not suspend."""
        for task in self._under_way.values():
            if not task.cancel() and not task.cancelled():
                task.exception()  # looked at: nobody needs it any more
        self._under_way.clear()

    async def _ask(self, node: int, offsets: Mapping[int, int]) -> list[Fetched]:
        # A leader fills its answer in the order that it was asked: each Kafka partition is the first in turn.
        self._turn += 1
        at = self._turn % len(offsets)
        order = [*list(offsets)[at:], *list(offsets)[:at]]
        wanted = [(partition, offsets[partition], self._bytes_max) for partition in order]
        request = FetchRequest(WAIT_MS_MAX, 1, self._bytes_max, READ_COMMITTED, [(self._topic, wanted)])
        answer = await self._kafka.ask(node, request, self._group)
        if answer.API_VERSION != 11 or answer.error_code:
            told = f"{self._topic}: fetch answered version {answer.API_VERSION}, error {answer.error_code}"
            raise BrokerError("kafka_unavailable", f"{told}; expected version 11", retriable=True)
        found = [partition for _, partitions in answer.topics for partition in partitions]
        taken = [_fetched(one, offsets[one[0]]) for one in found if one[1] == 0]
        refused = [one for one in found if one[1] != 0]
        for one in refused:
            await self._look_at(one, offsets, alone=not any(fetched.batches for fetched in taken))
        return taken

    async def _look_at(self, told: tuple[Any, ...], offsets: Mapping[int, int], *, alone: bool) -> None:
        """Of a Kafka partition that was refused: raise, unless others of its leader go on."""
        partition, error, _, _, first = told[:5]
        where = f"{self._topic}: Kafka partition {partition} at offset {offsets[partition]}"
        if error == OUT_OF_RANGE:
            why = f"is out of range (Kafka's log starts at {first})"
            raise BrokerError("out_of_range", f"{where} {why}", retriable=True)
        await self._kafka.refresh()
        why = MOVED.get(error, f"error {error}")
        log.warning("fetch_refused", topic=self._topic, kafka_partition=partition, reason=why)
        if alone:  # the caller backs off: a broker answers at once where one is refused
            raise BrokerError("kafka_unavailable", f"{where}: {why}", retriable=True)


def _fetched(told: tuple[Any, ...], offset: int) -> Fetched:
    partition, _, _, stable, first, aborted, _, batches = told
    return Fetched(partition, offset, stable, first, aborted or (), batches or b"")
