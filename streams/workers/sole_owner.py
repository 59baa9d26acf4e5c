"""Who owns which partition where there is one worker only: that one, whatever the broker can tell of its groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.workers.owners import Place

if TYPE_CHECKING:
    from streams.workers.topics import Partitions


class SoleOwner:
    """The owner of all partitions, at a worker without fencing: it has no others beside it.

    The embedded broker describes groups without addresses and assignments, so it can't be asked.

    Args:
        address: host:port of the worker.
        partitions: how many there are.
    """

    def __init__(self, address: str, partitions: Partitions) -> None:
        self._address = address
        self._places = [Place("ingest", number) for number in range(partitions.purchases)]
        self._places += [Place("tally", number) for number in range(partitions.items)]

    async def of(self, place: Place) -> str | None:
        """Address of the worker; None if there is no such partition."""
        return self._address if place in self._places else None

    async def of_all(self) -> dict[Place, str]:
        """Every partition, and the worker's address."""
        return dict.fromkeys(self._places, self._address)

    def forget(self) -> None:
        """It stays the owner."""

    async def close(self) -> None:
        """Nothing is open."""
