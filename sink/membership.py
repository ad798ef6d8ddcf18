"""Who owns which lane: takes the topics that exist, gives the lanes that the group gave to this sink.

    join ─▶ lanes given ─▶ poll, tell Kafka what has landed ─▶ a member comes, goes or dies ─▶ flush ─▶ join
      ▲                                                                                               │
      └──────────────────────── Kafka is away, or has put us out: a new consumer ◀────────────────────┘

The consumer never fetches: its Kafka partitions are paused, records come by `sink.fetch`. It is there for
membership, and for the offsets that lag tools read; nothing of ours reads those back. Owning a lane is a
matter of cost and not of safety, so lanes that stay go on while the group is being arranged anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from sink.assignor import LaneName, lane_assignor, lanes_of
from sink.kafka_log import ANSWER_SECONDS_MAX

SESSION_MS: Final = 6_000  # a member that says nothing for so long is dead: what a takeover waits for
HEARTBEAT_MS: Final = 1_500
FLUSH_SECONDS_MAX: Final = 10.0  # to land what is open before the lanes may move
REBALANCE_MS: Final = 30_000  # what the group waits for a member that flushes
METADATA_MS: Final = 5_000  # how soon added Kafka partitions are seen
REQUEST_MS: Final = REBALANCE_MS + 10_000  # a join is answered when all have joined
START_SECONDS_MAX: Final = 15.0
COMMIT_SECONDS_MAX: Final = 5.0
LEAVE_SECONDS_MAX: Final = 3.0
POLL_SECONDS: Final = 0.25
BACKOFF_SECONDS: Final = 1.0

log = structlog.get_logger()


class Membership:
    """This sink's seat in the consumer group; `run` is its task."""

    def __init__(
        self,
        client_options: Mapping[str, Any],
        group: str,
        lanes: Mapping[str, int],
        *,
        given: Callable[[frozenset[LaneName]], None],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        """`given` is told all lanes that are ours now; `flush` lands what is open, before they may change."""
        self.state: Literal["joining", "member"] = "joining"
        self.reason = "has not asked to join yet"
        self._options = client_options
        self._group = group
        self._counts = lanes
        self._given = given
        self._flush = flush
        self._topics: frozenset[str] = frozenset()
        self._subscribed: frozenset[str] = frozenset()
        self._hints: dict[TopicPartition, int] = {}
        self._consumer: _Consumer | None = None
        self._fresh: frozenset[LaneName] | None = None
        self._woken = asyncio.Event()
        self._closing = False

    def subscribe(self, topics: Iterable[str]) -> None:
        """These topics exist: ask for lanes of them, too."""
        self._topics |= frozenset(topics)
        self._woken.set()

    def tell(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Offsets that have landed, by Kafka partition, for lag tools: sent with the next poll."""
        self._hints.update({TopicPartition(topic, at): offset for at, offset in offsets.items()})

    async def run(self) -> None:
        """Be a member, until cancelled: whatever happens to Kafka, join again. Suspends."""
        while True:
            consumer = _Consumer(self._options, self._group, self._counts)
            try:
                await self._be_member(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                self._unseat(f"{error}" or type(error).__name__)
            finally:
                self._consumer = None
                await consumer.leave()
            await asyncio.sleep(random.uniform(BACKOFF_SECONDS / 2, BACKOFF_SECONDS))  # noqa: S311

    def close(self) -> None:
        """Take no lanes any more; `run` leaves the group when it is cancelled."""
        self._closing = True

    async def send_hints(self) -> None:
        """Tell Kafka what was told to us, as far as that is possible now. Suspends, bounded."""
        if self._consumer is not None:
            await self._send_hints(self._consumer)

    async def _be_member(self, consumer: _Consumer) -> None:
        async with asyncio.timeout(START_SECONDS_MAX):
            await consumer.start()
        self._consumer = consumer
        self._subscribed = frozenset()
        listener = _Listener(self, consumer)
        while True:
            self._woken.clear()
            if self._topics != self._subscribed:
                self._subscribed = self._topics
                consumer.subscribe(topics=sorted(self._topics), listener=listener)
            if self._subscribed:
                await self._poll(consumer)
            if self._fresh is not None and not self._closing:
                lanes, self._fresh = self._fresh, None
                self._given(lanes)
            await self._send_hints(consumer)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)

    async def _poll(self, consumer: _Consumer) -> None:
        """Say that we live; KafkaError where the group will not have us."""
        with suppress(TimeoutError):  # it suspends while the group is being arranged anew
            async with asyncio.timeout(POLL_SECONDS):
                await consumer.getmany(timeout_ms=0)  # nothing comes: all is paused

    async def _send_hints(self, consumer: _Consumer) -> None:
        owned = consumer.assignment()
        hints = {at: self._hints[at] for at in self._hints.keys() & owned}
        if not hints or self.state != "member":
            return
        try:
            async with asyncio.timeout(COMMIT_SECONDS_MAX):
                await consumer.commit(hints)
        except (KafkaError, IllegalStateError, OSError, TimeoutError) as error:
            # The group is being arranged anew, or Kafka is away. The lake knows; the next poll tries again.
            log.debug("hints_not_sent", reason=str(error) or type(error).__name__)
            return
        for at, offset in hints.items():
            if self._hints.get(at) == offset:
                del self._hints[at]

    async def revoked(self, consumer: _Consumer) -> None:
        """The group is about to be arranged anew; it waits for us."""
        if consumer is not self._consumer or self.state != "member":
            return
        log.info("group_rearranged", group=self._group)  # nothing is lost: what goes is flushed before
        self.state, self.reason = "joining", "the group is being arranged anew"
        try:
            async with asyncio.timeout(FLUSH_SECONDS_MAX):
                await self._flush()
        except TimeoutError:
            log.warning("flush_late", seconds=FLUSH_SECONDS_MAX)  # lanes that go are dropped

    def assigned(self, consumer: _Consumer, partitions: Iterable[TopicPartition]) -> None:
        """The group has given us these Kafka partitions: whole lanes. `run` passes them on."""
        if consumer is not self._consumer:
            return
        owned = frozenset(partitions)
        self._hints = {at: offset for at, offset in self._hints.items() if at in owned}
        self._fresh = lanes_of(owned, self._counts)
        self.state, self.reason = "member", ""
        self._woken.set()
        log.info("lanes_given", group=self._group, lanes=sorted(self._fresh))

    def _unseat(self, reason: str) -> None:
        if self.state == "member":
            log.warning("group_left", group=self._group, reason=reason)
        self.state, self.reason = "joining", reason


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes aiokafka's calls on; those of a consumer that was given up go nowhere."""

    def __init__(self, membership: Membership, consumer: _Consumer) -> None:
        self._membership = membership
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._consumer.forget_if_put_out()
        await self._membership.revoked(self._consumer)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        self._membership.assigned(self._consumer, assigned)


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A member that does not read, with a client that makes no topics."""

    def __init__(self, client_options: Mapping[str, Any], group: str, lanes: Mapping[str, int]) -> None:
        options = {**client_options, "request_timeout_ms": REQUEST_MS}
        self._assignor = lane_assignor(lanes)
        super().__init__(
            group_id=group,
            partition_assignment_strategy=(self._assignor,),
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=1,  # should it ever fetch before it is paused
            **options,
        )
        self._client = _Client(metadata_max_age_ms=METADATA_MS, **options)

    def forget_if_put_out(self) -> None:
        """A member that the group has put out claims no lane when it comes back: others have them now."""
        if self._coordinator.generation < 0:
            self._assignor.held = frozenset()

    async def leave(self) -> None:
        """Leave the group, so that others need not wait for the session's end; bounded."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS_MAX):
                await self.stop()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("group_not_left", reason=str(error) or type(error).__name__)


class _Client(AIOKafkaClient):  # type: ignore[misc]
    """Asks for topics as they are: aiokafka's own question would create those that are missing."""

    async def _metadata_update(self, cluster_metadata: ClusterMetadata, topics: Iterable[str]) -> bool:
        nodes = [broker.nodeId for broker in cluster_metadata.brokers()]
        for node in random.sample(nodes, len(nodes)):
            try:
                async with asyncio.timeout(ANSWER_SECONDS_MAX):
                    answer = await self.send(node, MetadataRequest(sorted(topics), False))
            except (KafkaError, OSError, TimeoutError):
                continue  # another broker may answer
            cluster_metadata.update_metadata(answer)
            return True
        cluster_metadata.failed_update(None)
        return False
