"""The state of a worker for those who watch it: metrics and page, /partitions, /status, and its snapshot."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from state.recovery import stores_aside
from state.snapshots import snapshot_stores
from streams.endpoint.answers import PartitionStatus, Status
from streams.quality.rates import united
from streams.workers.cluster.owners import StagePartition
from streams.workers.kafka.skipped import SkippedRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from state.directory import StateDirectory
    from state.memory import Memory
    from streams.endpoint.schemas import StageFigures
    from streams.workers.copier import Copier
    from streams.workers.ingest import Ingest
    from streams.workers.kafka.stage_service import Membership
    from streams.workers.snapshot_schedule import SnapshotSchedule
    from streams.workers.standby import Standbys
    from streams.workers.tally import ItemPartition, Tally

_SIZE_VALID_S = 10.0
_KINDS = {"ingest": "purchases", "tally": "items"}


class WorkerStatus:
    """The state of a worker.

    Args:
        worker: its name.
        generation: of its state.
        ingest, tally: its stages; None for one that runs elsewhere.
        memberships: by stage.
        missing_topics: returns the names of the topics that do not exist any more.
        skipped: counts skipped records.
        directory: of the stores.
        snapshots: writes snapshots by itself; None: nothing does.
        rekey: copies orders by customer; None: nothing does here.
        standbys: by stage, what keeps the partitions of other workers on standby; of a worker without any: none.
        memory: of its stores; None: they are not open here.
    """

    def __init__(
        self,
        worker: str,
        generation: str,
        ingest: Ingest | None,
        tally: Tally | None,
        memberships: Mapping[str, Membership],
        missing_topics: Callable[[], Sequence[str]] = tuple,
        skipped: SkippedRecords | None = None,
        directory: StateDirectory | None = None,
        snapshots: SnapshotSchedule | None = None,
        rekey: Copier | None = None,
        standbys: Mapping[str, Standbys[Any]] = MappingProxyType({}),
        memory: Memory | None = None,
    ) -> None:
        self._memory = memory
        self._worker = worker
        self._generation = generation
        self._ingest = ingest
        self._tally = tally
        self._memberships = memberships
        self.missing_topics = missing_topics
        self._directory = directory
        self._snapshots = snapshots
        self._rekey = rekey
        self._standbys = standbys
        self._skipped = SkippedRecords() if skipped is None else skipped
        self._sizes: dict[StagePartition, tuple[float, int]] = {}

    @property
    def joined(self) -> bool:
        """Whether every stage that runs here has been assigned its partitions, or none."""
        running = [stage.name for stage in (self._ingest, self._tally) if stage is not None]
        return all(self._memberships[name].joined for name in running)

    def now(self) -> Status:
        """Figures for metrics and page.

        Every item partition has counted all orders, so the first one that is open gives the totals; a worker without
        stage B gives what it counted itself since its start.
        """
        items = {} if self._tally is None else dict(self._tally.partitions)
        counts = [partition.counts for partition in items.values()]
        first = counts[0] if counts else None
        histories = [] if self._ingest is None else self._ingest.stores
        return Status(
            lines=first.lines if first else 0 if self._ingest is None else self._ingest.lines,
            duplicates=first.duplicates if first else 0,
            rejected=first.rejected if first else 0 if self._ingest is None else self._ingest.rejected,
            commits=sum(store.journal.commit for store in histories) + sum(store.journal.commit for store in counts),
            customers=first.holding if first else 0,
            items=len(first.names) if first else 0,
            lists=sum(int(store.owned[: len(store.names)].sum()) for store in counts),
            partitions=[*self._purchases_rows(), *self._item_rows(items)],
            newest_ms=first.newest if first else -1,
            hit_counts=united([dict(store.hit_counts) for store in histories]),  # copies: a commit may add a day
            skipped=self._skipped.by_topic,
            skipped_types={} if self._ingest is None else dict(self._ingest.skipped),
            damaged_stores=0 if self._directory is None else len(stores_aside(self._directory.path)),
            snapshot_age_s=None if self._snapshots is None else self._snapshots.age_s(),
            standby_lag={
                (kind, number): lag
                for stage, kind in _KINDS.items()
                for number, lag in sorted(self._standby_lag(stage).items())
            },
            snapshot_failures=0 if self._snapshots is None else self._snapshots.failures,
            published=0 if self._tally is None else self._tally.published,
            rekeyed=None if self._rekey is None else self._rekey.records,
            memory={} if self._memory is None else self._memory.parts(),
            rekey_lag=dict(self._memberships["rekey"].lag) if "rekey" in self._memberships else {},
        )

    def _purchases_rows(self) -> Iterator[PartitionStatus]:
        membership = self._memberships["ingest"]
        partitions = {} if self._ingest is None else dict(self._ingest.partitions)
        for number, partition in sorted(partitions.items()):
            if number in membership.serving:
                yield PartitionStatus(
                    kind=_KINDS["ingest"],
                    partition=number,
                    owner=self._worker,
                    offset=partition.store.purchases_offset,
                    lag=membership.lag.get(number, 0),
                    state_bytes=self._size(StagePartition("ingest", number), partition.store.size_bytes),
                    oldest_unpublished_ms=0,
                    commits=partition.store.journal.commit,
                )

    def _item_rows(self, partitions: Mapping[int, ItemPartition]) -> Iterator[PartitionStatus]:
        membership = self._memberships["tally"]
        now = time.monotonic()
        for number, partition in sorted(partitions.items()):
            if number in membership.serving:
                yield PartitionStatus(
                    kind=_KINDS["tally"],
                    partition=number,
                    owner=self._worker,
                    offset=partition.counts.purchases_offset_sum,
                    lag=membership.lag.get(number, 0),
                    state_bytes=self._size(StagePartition("tally", number), partition.size_bytes),
                    oldest_unpublished_ms=round(1000 * partition.publisher.age_s(now)),
                    commits=partition.counts.journal.commit,
                )

    def _size(self, partition: StagePartition, measure: Callable[[], int]) -> int:
        """Bytes on disk, measured every few seconds."""
        now = time.monotonic()
        measured_at, size = self._sizes.get(partition, (-_SIZE_VALID_S, 0))
        if now - measured_at >= _SIZE_VALID_S:
            try:
                size = measure()
            except FileNotFoundError:  # RocksDB deletes files at this very moment: the next measurement will do
                return size
            self._sizes[partition] = (now, size)
        return size

    def stages(self) -> StageFigures:
        """Figures of each stage that runs here, as GET /status shows them."""
        figures: StageFigures = {"generation": self._generation}
        if self._rekey is not None:
            figures["rekey"] = {"offsets": self._rekey.copied, "records": self._rekey.records}
        if self._ingest is not None:
            figures["ingest"] = {
                "offsets": self._ingest.offsets(),
                "lines": self._ingest.lines,
                "rejected": self._ingest.rejected,
                "skipped": dict(self._ingest.skipped),
                "standby": self._standby_lag("ingest"),
            }
        if self._tally is not None:
            partitions = self._tally.partitions
            figures["tally"] = {
                "offsets": self._tally.offsets(),
                "lines": {number: partition.counts.lines for number, partition in partitions.items()},
                "current": {number: partition.is_exact() for number, partition in partitions.items()},
                "lists_published": self._tally.published,
                "oldest_change_s": round(self._tally.age_s(), 3),
                "standby": self._standby_lag("tally"),
            }
        return figures

    def _standby_lag(self, stage: str) -> dict[int, int]:
        """Records that each standby of a stage has not counted yet."""
        return dict(self._standbys[stage].lag) if stage in self._standbys else {}

    def snapshot(self, to: Path) -> list[Path]:
        """Write a checkpoint of every open store to `to`, also while the stages work; return the directories."""
        stages = [stage for stage in (self._ingest, self._tally) if stage is not None]
        return snapshot_stores([store for stage in stages for store in stage.stores], to)


def partition_rows(
    rows: Sequence[dict[str, Any]], owners: Mapping[StagePartition, str], purchases: int, items: int
) -> list[dict[str, Any]]:
    """A row for each partition of both stages, also for those of which nobody has reported one.

    Args:
        rows: those reported.
        owners: of partitions, as far as they have any.
        purchases: how many purchases partitions there are.
        items: how many item partitions there are.

    >>> partition_rows([], {StagePartition("tally", 0): "10.0.0.7:6066"}, 0, 1)[0]["owner"]
    '10.0.0.7:6066'
    """
    reported = {(row["kind"], row["partition"]): row for row in rows}
    every = []
    for stage, count in (("ingest", purchases), ("tally", items)):
        for number in range(count):
            owner = owners.get(StagePartition(stage, number), "")
            unknown = PartitionStatus(_KINDS[stage], number, owner, 0, 0, 0, 0, 0)._asdict()
            every.append(reported.get((_KINDS[stage], number), unknown))
    return every
