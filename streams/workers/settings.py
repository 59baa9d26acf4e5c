"""Settings of a worker: read once by the command line, frozen, passed down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from state.settings import CUSTOMER, PURCHASES
from streams.engine.scores import DEFAULT_SCORE, Scoring
from streams.workers.kafka.topics import RECORD_BYTES, Topics

if TYPE_CHECKING:
    from pathlib import Path

    from state.memory import MemoryBudget

STAGES = ("ingest", "tally")


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a worker.

    Attributes:
        broker: host:port of the broker, several separated by commas.
        state_dir: directory of the state; no other worker may use it.
        topics: names of topics and groups, with the generation.
        stages: "ingest" (orders to histories and deltas), "tally" (deltas to counts and lists), or both.
        partitioner: by which the shop's producers place customers in partitions of `purchases`: one of
            `streams.workers.kafka.placement.PARTITIONER_SETTINGS`.
        pair_window: items of a customer are paired when at most this many first purchases apart; 0: always.
        pairs: whether the pairs are of customers or of orders: one of `state.settings.PAIR_KINDS`.
        events: the event type that is counted.
        seed_weights: of each other type that is kept as seeds of recommendations, by name; a purchase weighs 1.
        score: what related lists are ranked by, a name in `streams.engine.scores.SCORES`.
        commit_interval_ms: orders wait at most this long for others to be committed with.
        commit_lines: order lines after which a commit does not wait for more.
        record_bytes: how many a record of deltas has at most; larger deltas are written in parts.
        list_change: under load, a list is published again when one of its scores changed by more than this fraction.
        lists_per_second: at most this many lists are published a second while orders arrive; None: no limit.
        refresh_time_fraction: far behind, the time spent on lists as a fraction of the time spent on counting.
        idle_ms: without deltas for this long, lists are published until every one is exact.
        score_one_in: score one order in this many before it is counted; 0: none.
        standby: whether to keep the partitions of other workers on standby.
        session_timeout_ms: a worker that is silent for this long loses its partitions.
        broker_timeout_s: how long to wait for a broker at the start.
        admin: host:port of the worker's web server.
        advertise: host:port at which other workers reach it; None: that of `admin`.
        hosts: names by which requests may call the web server, besides those of its own.
        admin_token: required by requests that write; None: they are refused.
        read_token: required by requests that read; None: they need none.
        origins: web pages of these origins may ask.
        worker_secret: what workers derive their signatures from; None: the ids of the topics.
        fencing: whether to write in transactions, which fence previous owners. Without them, for brokers that
            have none, there must be only one worker.
        snapshot_root: below which POST /snapshot writes; None: `snapshots` in `state_dir`.
        restore_from: where snapshots are, from which stores that are missing or damaged are restored: a place of
            scheduled ones, a snapshot, or a directory of them; None: `snapshot_to`.
        snapshot_to: a directory or an address of an object store, to which snapshots are written by themselves.
        snapshot_every_s: how old the newest snapshot of a store becomes; None: none are written by themselves.
        snapshots_kept: how many of each store.
        memory: what the stores may take together, by part; None: half of what there is.

    Raises:
        ScoringError: there is no such score.
    """

    broker: str
    state_dir: Path
    topics: Topics = field(default_factory=Topics)
    stages: tuple[str, ...] = STAGES
    partitioner: str = "auto"
    pair_window: int = 100
    pairs: str = CUSTOMER
    events: str = PURCHASES
    seed_weights: tuple[tuple[str, float], ...] = ()
    score: str = DEFAULT_SCORE
    commit_interval_ms: int = 100
    commit_lines: int = 5_000
    record_bytes: int = RECORD_BYTES
    list_change: float = 0.05
    lists_per_second: float | None = None
    refresh_time_fraction: float = 0.1
    idle_ms: int = 2_000
    score_one_in: int = 0
    standby: bool = False
    session_timeout_ms: int = 6_000
    broker_timeout_s: float = 30.0
    admin: str = "127.0.0.1:6066"
    advertise: str | None = None
    hosts: tuple[str, ...] = ()
    admin_token: str | None = field(default=None, repr=False)
    read_token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    worker_secret: str | None = field(default=None, repr=False)
    fencing: bool = True
    snapshot_root: Path | None = None
    restore_from: str | None = None
    snapshot_to: str | None = None
    snapshot_every_s: float | None = None
    snapshots_kept: int = 3
    memory: MemoryBudget | None = None

    def __post_init__(self) -> None:
        Scoring(self.score)  # says now, rather than after opening the stores, that there is no such score

    @property
    def restores_from(self) -> str | None:
        """Where snapshots are that this worker may restore, if there are any."""
        return self.restore_from or self.snapshot_to

    @property
    def admin_address(self) -> tuple[str, int]:
        """Host and port of `admin`."""
        host, _, port = self.admin.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def advertised(self) -> str:
        """Host and port at which other workers reach this one, and its name in every answer."""
        return self.advertise or self.admin
