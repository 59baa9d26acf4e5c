"""What tells a log from another one of the same name: a state counted from the one must never go on with the other."""

from __future__ import annotations

from typing import NamedTuple

from state.errors import OtherLog


class LogIdentity(NamedTuple):
    """What tells a log from another one of the same name."""

    log_id: str
    """Given to the log when it was made, and to no other; empty if it is not known."""
    partitions: int
    """How many partitions it is divided into."""


def check_same(what: str, name: str, known: LogIdentity, found: LogIdentity) -> None:
    """Check that a log is the one that is known by its name; an id that is not known fits any.

    Args:
        what: begins the message, with what was done with the log that is known.
        name: of the log.
        known: its identity as it is known.
        found: the identity that it has.

    Raises:
        OtherLog: it is another log, or is divided into another number of partitions.

    >>> check_same("This was counted from", "purchases", LogIdentity("a", 2), LogIdentity("", 2))
    >>> check_same("This was counted from", "purchases", LogIdentity("a", 2), LogIdentity("a", 3))
    Traceback (most recent call last):
    state.errors.OtherLog: This was counted from topic purchases with 2 partitions, it has 3: orders of a customer...
    """
    if known.log_id != found.log_id and known.log_id and found.log_id:
        raise OtherLog(
            f"{what} another topic {name}: it was deleted and made again, or is of another broker or --topic-prefix, "
            f"or only one of them was read with --rekey (its id was {known.log_id}, it is {found.log_id}). Offsets "
            "of the one mean nothing in the other: start a new --generation"
        )
    if known.partitions != found.partitions:
        raise OtherLog(
            f"{what} topic {name} with {known.partitions} partitions, it has {found.partitions}: orders of a customer "
            "are in two of them now. Send all orders again to new topics (another --topic-prefix), and start a new "
            "--generation on them"
        )
