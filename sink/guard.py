"""Between Kafka's log and a lane: takes positions, and lets nothing be landed that would not continue them.

Where the log is another than the one that was landed (truncated, created anew, records deleted before they
were landed) the topic's policy decides: `stop` until a person has seen to it, or `record` a gap entry and go
on in the next incarnation. Nothing is passed over without either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sink.entry import Gap
from sink.errors import Code, LogError
from sink.lane import Lane
from sink.log_check import Difference, Reason, differences, recreated
from sink.log_head import Position
from sink.settings import OnGap
from sink.topic_log import BatchName, Source

CODES: Final[dict[Reason, Code]] = {
    "truncated": "log_truncated",
    "recreated": "topic_recreated",
    "lost": "gap",
}


class Guard:
    """The guard of one lane."""

    def __init__(self, lane: Lane, source: Source, on_gap: OnGap) -> None:
        self._lane = lane
        self._source = source
        self._on_gap = on_gap

    async def look(self, topic_id: str, heads: Mapping[int, Position]) -> list[Difference]:
        """Where a lane that was just taken may not simply be fed; nothing: it may. Suspends.

        `topic_id`: that of Kafka, read after the log of the lane: one that was read before may be older than
        what others have landed. LogError where the policy is to stop, BrokerError (retriable).
        """
        if self._lane.topic_id == topic_id:
            found = await self._differences(heads)
            if not found:
                return []
        else:
            there = self._partitions()
            firsts, ends = await self._source.first_offsets(there), await self._source.end_offsets(there)
            found = recreated(heads, firsts, ends)
        if self._on_gap == "stop" or not found:
            raise LogError(CODES[found[0].reason if found else "recreated"], self._told(found))
        return found

    async def record(self, topic_id: str, found: Sequence[Difference]) -> None:
        """Commit a gap entry for what `look` found; take the lane again in any case. Suspends."""
        await self._lane.record(topic_id, await self._gaps(found))

    async def continues(self, partition: int, head: Position, epoch: int) -> bool:
        """Whether batches of this leader epoch continue a Kafka partition that stands at `head`. Suspends."""
        if head.last_batch is None or head.last_batch[1] == epoch:
            return True
        return not await self._differences({partition: head})

    async def _differences(self, heads: Mapping[int, Position]) -> list[Difference]:
        return await differences(self._source, heads, self._lane.epochs, self._partitions())

    async def _gaps(self, found: Sequence[Difference]) -> dict[Gap, BatchName | None]:
        gaps: dict[Gap, BatchName | None] = {}
        for one in found:
            gap = Gap(
                partition=one.partition,
                incarnation=one.incarnation,
                head=one.head,
                first=one.first,
                log=one.log,
                reason=one.reason,
            )
            before = one.first - 1
            gaps[gap] = await self._source.batch_at(one.partition, before) if before >= one.log[0] else None
        return gaps

    def _partitions(self) -> list[int]:
        return self._source.lane_partitions(self._lane.lane, self._lane.lanes)

    def _told(self, found: Sequence[Difference]) -> str:
        topic = self._lane.topic
        what = (
            "; ".join(map(str, found)) or "the topic was created anew, without Kafka partitions of this lane"
        )
        then = "to go on with what Kafka has now, and keep a record of the gap"
        return f'{topic}: {what}. The lane has stopped, what was landed stays; {then}, set on_gap = "record"'
