"""Partitions stay with owners that live, and go to members that have them on standby."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyAssignorUserDataV1, StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from streams.workers.kafka.assignment import LITTLE_LAG, Member, assignor, divided

NUMBERS = st.integers(0, 7)
MEMBERS = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(Member, st.frozensets(NUMBERS), st.dictionaries(NUMBERS, st.integers(0, 10_000))),
    min_size=1,
)


@given(st.integers(0, 8), MEMBERS)
def test_every_partition_has_one_member(partitions: int, members: dict[str, Member]) -> None:
    """Whatever members say, as when one was paused, and says it owns what another took over."""
    found = divided(range(partitions), members)

    assert found.keys() == members.keys()
    assert sorted(number for numbers in found.values() for number in numbers) == list(range(partitions))


@given(MEMBERS)
def test_what_nobody_owns_goes_to_who_lacks_least(members: dict[str, Member]) -> None:
    found = divided(range(8), members)

    owned = {number for member in members.values() for number in member.owned}
    for name, numbers in found.items():
        for number in set(numbers) - owned:
            assert members[name].missing(number) == min(member.missing(number) for member in members.values())


@given(st.integers(0, 8), st.integers(1, 4))
def test_partitions_are_divided_evenly_and_stay(partitions: int, count: int) -> None:
    """A worker that joins gets its share, and after that nothing moves."""
    members = {str(number): Member() for number in range(count)}
    first = divided(range(partitions), members)
    joined = divided(range(partitions), owning(first) | {"new": Member()})

    for found in (first, joined):
        sizes = [len(numbers) for numbers in found.values()]
        assert max(sizes) - min(sizes) <= 1
        assert divided(range(partitions), owning(found)) == found


def owning(found: dict[str, list[int]]) -> dict[str, Member]:
    return {name: Member(frozenset(numbers)) for name, numbers in found.items()}


def test_of_two_that_are_nearly_up_to_date_the_one_with_fewer_partitions_takes_over() -> None:
    members = {
        "busy": Member(frozenset({0, 1}), {2: 0, 3: 0}),
        "free": Member(frozenset({4}), {2: LITTLE_LAG, 3: LITTLE_LAG + 1}),
    }

    assert divided(range(5), members) == {"busy": [0, 1, 3], "free": [2, 4]}


def test_a_takeover_moves_nothing_to_members_that_would_have_to_recount_it() -> None:
    """They would, for the sake of balance: that is why somebody keeps standbys."""
    members = {"plain": Member(frozenset({2, 3})), "standby": Member(frozenset({4, 5}), {0: 3, 1: 0, 2: 0, 3: 0})}

    assert divided(range(6), members) == {"plain": [2, 3], "standby": [0, 1, 4, 5]}


def test_a_member_that_joins_gets_what_it_has_on_standby() -> None:
    members = {"owner": Member(frozenset({0, 1, 2, 3})), "back": Member(frozenset(), {2: 0, 3: 9})}

    assert divided(range(4), members) == {"owner": [0, 1], "back": [2, 3]}


def test_members_with_and_without_standbys_understand_each_other() -> None:
    """During an upgrade either may be the leader."""
    ours = assignor("topic", {"score": "blend"}, lambda: {3: 7, 5: 1 << 40})
    ours.on_assignment(ours.assign(Cluster(), {"me": ours.metadata(["topic"])})["me"])
    metadata = ConsumerProtocolMemberMetadata.decode(ours.metadata(["topic"]).encode())
    earlier = StickyPartitionAssignor._metadata(["topic"], [TopicPartition("topic", 4)], 2)

    assert ours.name == "sticky,score=blend"
    assert ours._member(metadata.user_data) == Member(frozenset({0, 1}), {3: 7, 5: (1 << 31) - 1})
    assert ours._member(earlier.user_data) == Member(frozenset({4}))
    assert StickyPartitionAssignor.parse_member_metadata(metadata).partitions == [
        TopicPartition("topic", 0),
        TopicPartition("topic", 1),
    ]


class Cluster:
    """What the client knows of the brokers."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        assert topic == "topic"
        return {0, 1}


@pytest.mark.parametrize(
    "user_data",
    [b"", b"x", b"\xff" * 40, b"\0" * 40, StickyAssignorUserDataV1([("another topic", [1])], 1).encode()],
)
def test_a_member_that_says_nothing_understandable_has_nothing(user_data: bytes) -> None:
    """It may be anything that joins the group."""
    assert assignor("topic", {}, dict)._member(user_data) == Member()
