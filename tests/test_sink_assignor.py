"""Who lands what: each lane is given once and whole, shares are even, and a change moves few lanes."""

from __future__ import annotations

from collections import Counter

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given, settings
from hypothesis import strategies as st

from sink.assignor import LaneName, lane_assignor, lanes_of, share

LANES = st.sets(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 7)), max_size=20)
NAMES = st.sampled_from(["m1", "m2", "m3", "m4", "m5"])
MEMBERS = st.dictionaries(
    NAMES, st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1), min_size=1, max_size=5
)
HELD = st.dictionaries(NAMES, st.frozensets(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 7))))
ALL = frozenset("abc")


@given(LANES, MEMBERS, HELD)
def test_each_lane_is_given_once_to_a_member_that_wants_its_topic(
    lanes: set[LaneName], members: dict[str, frozenset[str]], held: dict[str, frozenset[LaneName]]
) -> None:
    shares = share(lanes, members, held)
    assert shares.keys() == members.keys()
    given_ = Counter(lane for own in shares.values() for lane in own)
    assert all(count == 1 for count in given_.values())
    assert set(given_) == {lane for lane in lanes if any(lane[0] in topics for topics in members.values())}
    assert all(lane[0] in members[name] for name, own in shares.items() for lane in own)


@given(LANES, st.sets(NAMES, min_size=1), HELD)
def test_members_that_want_the_same_have_shares_that_differ_by_one_at_the_most(
    lanes: set[LaneName], names: set[str], held: dict[str, frozenset[LaneName]]
) -> None:
    sizes = [len(own) for own in share(lanes, dict.fromkeys(names, ALL), held).values()]
    assert max(sizes) - min(sizes) <= 1


@given(LANES, st.lists(NAMES, min_size=2, unique=True), HELD)
def test_the_order_of_the_arguments_changes_nothing(
    lanes: set[LaneName], names: list[str], held: dict[str, frozenset[LaneName]]
) -> None:
    mixed = sorted(names, reverse=True)
    once = share(lanes, dict.fromkeys(names, ALL), held)
    assert once == share(sorted(lanes, reverse=True), dict.fromkeys(mixed, ALL), held)


@settings(max_examples=50)
@given(LANES, st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_when_one_leaves_only_its_lanes_move_and_when_it_comes_back_only_a_fair_share_does(
    lanes: set[LaneName], names: list[str]
) -> None:
    before = share(lanes, dict.fromkeys(names, ALL), {})
    rest = dict.fromkeys(names[1:], ALL)
    held = {name: frozenset(own) for name, own in before.items()}
    after = share(lanes, rest, {name: held[name] for name in rest})
    assert all(before[name] <= after[name] for name in rest), "who stays keeps what it has"
    again = share(lanes, dict.fromkeys(names, ALL), {name: frozenset(own) for name, own in after.items()})
    assert all(again[name] <= after[name] for name in rest), "lanes go to the one that came, nowhere else"


def cluster(**partitions: int) -> ClusterMetadata:
    found = ClusterMetadata()
    found._partitions = {topic: dict.fromkeys(range(count)) for topic, count in partitions.items()}
    return found


def test_a_lane_is_given_as_all_its_kafka_partitions() -> None:
    assignor = lane_assignor({"events": 3})
    members = {name: assignor.metadata(["events", "other"]) for name in ("m1", "m2")}
    told = assignor.assign(cluster(events=8, other=1), members)
    of = {name: sorted(assignment.partitions()) for name, assignment in told.items()}
    assert of["m1"] == [("events", 0), ("events", 2), ("events", 3), ("events", 5), ("events", 6)]
    assert of["m2"] == [("events", 1), ("events", 4), ("events", 7), ("other", 0)]
    for assignment in of.values():
        lanes = lanes_of(assignment, {"events": 3})
        assert len(assignment) == sum(2 + (lane < 2) if topic == "events" else 1 for topic, lane in lanes)


def test_a_lane_without_kafka_partitions_and_a_topic_that_is_gone_are_given_to_nobody() -> None:
    assignor = lane_assignor({"events": 8})
    told = assignor.assign(cluster(events=2), {"m1": assignor.metadata(["events", "gone"])})
    assert sorted(told["m1"].partitions()) == [("events", 0), ("events", 1)]
    assert assignor.assign(cluster(), {"m1": assignor.metadata(["gone"])})["m1"].partitions() == []


def test_what_a_member_was_given_it_tells_the_next_time() -> None:
    assignor, other = lane_assignor({"events": 2}), lane_assignor({"events": 2})
    assignor.on_assignment(ConsumerProtocolMemberAssignment(0, [("events", [1, 3])], b""))
    told = ConsumerProtocolMemberMetadata.decode(assignor.metadata(["events"]).encode())
    assert told.user_data == b"events 1"
    assert other.held == frozenset(), "a class of its own for each consumer"
    members = {"a": other.metadata(["events"]), "b": told}
    shares = other.assign(cluster(events=4), members)
    assert sorted(shares["b"].partitions()) == [("events", 1), ("events", 3)]


def test_user_data_of_another_kind_is_no_claim() -> None:
    assignor = lane_assignor({})
    strange = ConsumerProtocolMemberMetadata(0, ["events"], b"\xff\xfe not ours\nevents x\n\n")
    nothing = ConsumerProtocolMemberMetadata(0, ["events"], None)
    told = assignor.assign(cluster(events=2), {"m1": strange, "m2": nothing})
    assert sum(len(one.partitions()) for one in told.values()) == 2
