"""Which member of a consumer group gets which partition: its owner as long as it lives, then who has it on standby.

Members say in their metadata which partitions they own and which they keep on standby, with the lag. The leader, which
is one of them, divides the partitions. Metadata and name of the protocol are those of Kafka's sticky assignor, with the
standbys behind: members of versions that have none join the same group, and a leader of such a version leaves out of
account who has what on standby.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyAssignorUserDataV1, StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.protocol.struct import Struct
from aiokafka.protocol.types import Array, Int32, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aiokafka.cluster import ClusterMetadata

LITTLE_LAG = 100
"""Records, counted in less than a second: of members that lack no more, the one with fewest partitions takes over."""
_MOST_LAG = (1 << 31) - 1


class Member(NamedTuple):
    """What a member of the group says of itself."""

    owned: frozenset[int] = frozenset()
    """Partitions that it was assigned last."""
    standby: Mapping[int, int] = {}
    """Lag in records by partition that it keeps on standby."""

    def missing(self, partition: int) -> float:
        """How much it lacks to take over a partition, in records; infinite for all of them."""
        lag = self.standby.get(partition, math.inf)
        return lag if lag > LITTLE_LAG else 0


def divided(partitions: Iterable[int], members: Mapping[str, Member]) -> dict[str, list[int]]:
    """The partitions of each member.

    A partition stays with its owner, unless owners have more than one more than another member. One without an owner
    goes to the member that lacks least of it; among equals, and if nobody has it on standby, to the one with fewest.
    So a takeover may leave more partitions to a member that has them on standby; the next member that comes or goes
    evens that out.

    >>> divided(range(4), {"a": Member(frozenset({0, 1})), "b": Member(), "c": Member(standby={2: 0, 3: 7})})
    {'a': [1], 'b': [0], 'c': [2, 3]}
    >>> divided(range(4), {"a": Member(frozenset({0, 1})), "c": Member(frozenset({2}), {0: 0, 1: 0, 3: 0})})
    {'a': [0, 1], 'c': [2, 3]}
    """
    held: dict[str, list[int]] = {}
    left = set(partitions)
    for name in sorted(members):
        held[name] = sorted(members[name].owned & left)
        left -= members[name].owned
    while True:
        least, most = (choose(held, key=lambda name: len(held[name])) for choose in (min, max))
        if len(held[most]) - len(held[least]) <= 1:
            break
        receiver = members[least]
        moved = min(held[most], key=lambda partition: (receiver.missing(partition), partition))
        held[most].remove(moved)
        held[least].append(moved)
    on_standby = {partition for member in members.values() for partition in member.standby}
    for partition in sorted(left, key=lambda partition: (partition not in on_standby, partition)):
        taker = min(held, key=lambda name: (members[name].missing(partition), len(held[name])))
        held[taker].append(partition)
    return {name: sorted(numbers) for name, numbers in held.items()}


class _UserData(Struct):  # type: ignore[misc]
    """The sticky assignor's user data, and the standbys."""

    SCHEMA = Schema(
        *zip(StickyAssignorUserDataV1.SCHEMA.names, StickyAssignorUserDataV1.SCHEMA.fields, strict=True),
        ("standby", Array(("partition", Int32), ("lag", Int32))),
    )


class Assignor(StickyPartitionAssignor):  # type: ignore[misc]
    """Assigns the partitions of a topic; made by `assignor`, as the client takes classes.

    Attributes:
        topic: its name.
        standby: returns the lag of each partition that this member keeps on standby.
    """

    topic: str
    standby: Callable[[], Mapping[int, int]]

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What this member says of itself."""
        owned = [partition for _, partition in cls.member_assignment or ()]
        lags = [(partition, min(lag, _MOST_LAG)) for partition, lag in cls.standby().items()]
        data = _UserData([(cls.topic, owned)], cls.generation, lags)
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), data.encode())

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Divide the partitions, as the leader of the group; see `divided`."""
        partitions = cluster.partitions_for_topic(cls.topic) or ()
        numbers = divided(partitions, {name: cls._member(metadata.user_data) for name, metadata in members.items()})
        return {
            name: ConsumerProtocolMemberAssignment(cls.version, [(cls.topic, numbers[name])], b"") for name in numbers
        }

    @classmethod
    def _member(cls, user_data: bytes) -> Member:
        """What a member says of itself; nothing if that cannot be read."""
        for kind in (_UserData, StickyAssignorUserDataV1):  # earlier versions have no standbys
            try:
                said = kind.decode(user_data)
                owned = {
                    number for topic, numbers in said.previous_assignment if topic == cls.topic for number in numbers
                }
                return Member(frozenset(owned), dict(getattr(said, "standby", ())))
            except (ValueError, TypeError):
                continue
        return Member()


def assignor(topic: str, shared: Mapping[str, object], standby: Callable[[], Mapping[int, int]]) -> type[Assignor]:
    """The assignor of members that share something: Kafka refuses a member that has none in common with the others.

    Args:
        topic: whose partitions are assigned.
        shared: what all members must have alike, and the value that this one has.
        standby: returns the lag of each partition that this member keeps on standby.
    """
    suffix = "".join(f",{what}={value}" for what, value in sorted(shared.items()))
    name = f"{StickyPartitionAssignor.name}{suffix}"
    return type("TopicAssignor", (Assignor,), {"name": name, "topic": topic, "standby": staticmethod(standby)})
