"""Who lands what: takes the members of the consumer group, gives each whole lanes of the topics.

A lane split between two sinks would make each throw the other's work away (PROTOCOL 4), so Kafka's own
assignors can't be used. Every member tells the lanes that it has; they stay where they are as far as the
shares stay even, so that a change moves as few lanes as needed.
Source: Kafka's consumer protocol (ConsumerProtocolSubscription, user data is ours: `topic lane` lines).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

NAME: Final = "headrace-lanes"

LaneName: TypeAlias = tuple[str, int]
"""Topic and number of a lane."""


def lane_assignor(lanes: Mapping[str, int]) -> type[AbstractPartitionAssignor]:
    """The class that aiokafka wants, for topics with these numbers of lanes (1 where a topic is not named).

    One class per consumer: it remembers what the consumer was last given.
    """

    class LaneAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
        name = NAME
        held: frozenset[LaneName] = frozenset()

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            topics = {topic for member in members.values() for topic in member.subscription}
            counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
            used = {topic: min(count, lanes.get(topic, 1)) for topic, count in counts.items()}
            shares = share(
                [(topic, lane) for topic in used for lane in range(used[topic])],
                {name: frozenset(member.subscription) for name, member in members.items()},
                {name: _parse(member.user_data) for name, member in members.items()},
            )
            return {name: _assignment(share_, counts, lanes) for name, share_ in shares.items()}

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            told = "\n".join(f"{topic} {lane}" for topic, lane in sorted(cls.held))
            return ConsumerProtocolMemberMetadata(0, sorted(topics), told.encode())

        @classmethod
        def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
            cls.held = lanes_of(assignment.partitions(), lanes)

    return LaneAssignor


def lanes_of(partitions: Iterable[tuple[str, int]], lanes: Mapping[str, int]) -> frozenset[LaneName]:
    """The lanes to which Kafka partitions (topic, number) belong."""
    return frozenset((topic, number % lanes.get(topic, 1)) for topic, number in partitions)


def share(
    lanes: Iterable[LaneName],
    subscriptions: Mapping[str, frozenset[str]],
    held: Mapping[str, frozenset[LaneName]],
) -> dict[str, set[LaneName]]:
    """Lanes of each member: each lane once, counts as even as the subscriptions let them be.

    The same for the same arguments in any order. Does not suspend.
    """
    shares: dict[str, set[LaneName]] = {name: set() for name in sorted(subscriptions)}
    free: list[LaneName] = []
    for lane in sorted(lanes):
        able = [name for name in shares if lane[0] in subscriptions[name]]
        keeper = next((name for name in able if lane in held.get(name, ())), None)
        if keeper is not None:
            shares[keeper].add(lane)
        elif able:
            free.append(lane)
    for lane in free:
        able = [name for name in shares if lane[0] in subscriptions[name]]
        shares[min(able, key=lambda name: (len(shares[name]), name))].add(lane)
    while _even_out(shares, subscriptions):
        pass
    return shares


def _even_out(shares: dict[str, set[LaneName]], subscriptions: Mapping[str, frozenset[str]]) -> bool:
    """Move one lane from a member with many to one with few; False: there is none to be moved."""
    by_size = sorted(shares, key=lambda name: (len(shares[name]), name))
    for giver in reversed(by_size):
        for taker in by_size:
            if len(shares[giver]) - len(shares[taker]) < 2:
                break
            movable = [lane for lane in sorted(shares[giver]) if lane[0] in subscriptions[taker]]
            if movable:
                shares[giver].remove(movable[-1])
                shares[taker].add(movable[-1])
                return True
    return False


def _assignment(
    share_: set[LaneName], counts: Mapping[str, int], lanes: Mapping[str, int]
) -> ConsumerProtocolMemberAssignment:
    partitions: dict[str, list[int]] = {}
    for topic, lane in sorted(share_):
        partitions.setdefault(topic, []).extend(range(lane, counts[topic], lanes.get(topic, 1)))
    told = [(topic, sorted(numbers)) for topic, numbers in partitions.items()]
    return ConsumerProtocolMemberAssignment(0, told, b"")


def _parse(user_data: bytes | None) -> frozenset[LaneName]:
    lines = (line.rpartition(" ") for line in (user_data or b"").decode(errors="replace").splitlines())
    return frozenset((topic, int(lane)) for topic, _, lane in lines if lane.isdecimal())
