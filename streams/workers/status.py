"""How a worker stands, from its stages, for metrics, page and /partitions."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from streams.endpoint.answers import PartitionStatus, Status
from streams.quality.rates import united
from streams.workers.cluster.owners import StagePartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.workers.ingest import Ingest
    from streams.workers.kafka.stage_service import Membership
    from streams.workers.tally import ItemPartition, Tally

_SIZES_HOLD_S = 10.0
_KINDS = {"ingest": "purchases", "tally": "items"}


class WorkerStatus:
    """How a worker stands.

    Args:
        worker: its name.
        ingest, tally: its stages; None for one that runs elsewhere.
        memberships: by stage.
    """

    def __init__(
        self, worker: str, ingest: Ingest | None, tally: Tally | None, memberships: Mapping[str, Membership]
    ) -> None:
        self._worker = worker
        self._ingest = ingest
        self._tally = tally
        self._memberships = memberships
        self._sizes: dict[StagePartition, tuple[float, int]] = {}

    @property
    def joined(self) -> bool:
        """Whether every stage that runs here was assigned partitions, if only none."""
        running = [stage.name for stage in (self._ingest, self._tally) if stage is not None]
        return all(self._memberships[name].joined for name in running)

    def now(self) -> Status:
        """How it stands."""
        parts = {} if self._tally is None else dict(self._tally.partitions)
        rows = [*self._purchases(), *self._items(parts)]
        first = next(iter(parts.values())).counts if parts else None
        stores = [] if self._ingest is None else self._ingest.stores
        commits = [store.journal.commit for store in stores] + [part.counts.journal.commit for part in parts.values()]
        return Status(
            lines=first.lines if first else 0 if self._ingest is None else self._ingest.lines,
            duplicates=first.duplicates if first else 0,
            rejected=first.rejected if first else 0 if self._ingest is None else self._ingest.rejected,
            commits=sum(commits),
            customers=first.holding if first else 0,
            items=len(first.names) if first else 0,
            lists=sum(int(part.counts.owned[: len(part.counts.names)].sum()) for part in parts.values()),
            partitions=rows,
            newest_ms=first.newest if first else -1,
            hit_counts=united([dict(store.hit_counts) for store in stores]),  # copies: a commit may add a day meanwhile
        )

    def _purchases(self) -> list[PartitionStatus]:
        membership = self._memberships["ingest"]
        sources = {} if self._ingest is None else self._ingest.partitions
        return [
            PartitionStatus(
                "purchases",
                number,
                self._worker,
                source.store.purchases_offset,
                membership.lag.get(number, 0),
                self._size(StagePartition("ingest", number), source.store.size_bytes),
                0,
            )
            for number, source in sorted(sources.items())
            if number in membership.serving
        ]

    def _items(self, parts: dict[int, ItemPartition]) -> list[PartitionStatus]:
        membership = self._memberships["tally"]
        now = time.monotonic()
        return [
            PartitionStatus(
                "items",
                number,
                self._worker,
                part.counts.purchases_offset_sum,
                membership.lag.get(number, 0),
                self._size(StagePartition("tally", number), partial(_size_of, part)),
                round(1000 * part.publisher.age_s(now)),
            )
            for number, part in sorted(parts.items())
            if number in membership.serving
        ]

    def _size(self, place: StagePartition, measure: Callable[[], int]) -> int:
        """Bytes on disk, looked up every few seconds."""
        now = time.monotonic()
        looked_at, size = self._sizes.get(place, (-_SIZES_HOLD_S, 0))
        if now - looked_at >= _SIZES_HOLD_S:
            try:
                size = measure()
            except FileNotFoundError:  # the store tidies up at this very moment: the next look will do
                return size
            self._sizes[place] = (now, size)
        return size


def _size_of(part: ItemPartition) -> int:
    return part.counts.size_bytes() + part.related.size_bytes()


def partition_rows(
    rows: Sequence[dict[str, Any]], owners: Mapping[StagePartition, str], purchases: int, items: int
) -> list[dict[str, Any]]:
    """A row for each of all partitions, of which not every one need have been told of.

    Args:
        rows: those told of.
        owners: of partitions, as far as they have any.
        purchases: how many purchases partitions there are.
        items: how many item partitions there are.

    >>> partition_rows([], {StagePartition("tally", 0): "10.0.0.7:6066"}, 0, 1)[0]["owner"]
    '10.0.0.7:6066'
    """
    told = {(row["kind"], row["partition"]): row for row in rows}
    every = []
    for stage, count in (("ingest", purchases), ("tally", items)):
        for number in range(count):
            owner = owners.get(StagePartition(stage, number), "")
            nothing = PartitionStatus(_KINDS[stage], number, owner, 0, 0, 0, 0)._asdict()
            every.append(told.get((_KINDS[stage], number), nothing))
    return every
