"""The worker: builds its parts from the settings, connects them, and runs them as services of a Faust app.

    topic purchases -> Ingest -> topic co-purchases -> Tally -> topic related-items
    (or -> Rekey ->)     |                               |
                         |                               |
                         +---- WorkerAnswers: HTTP ------+---- peers: the partitions of other workers

Faust provides the process, the services' life cycle and the web server. The stages bring their own Kafka clients.
"""

from __future__ import annotations

import logging
import socket
import sys
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import faust
import mode
from faust.app.base import BootStrategy
from faust.web.drivers.aiohttp import Web

from state.directory import StateDirectory
from state.memory import Memory
from state.settings import CUSTOMER, PURCHASES, CountingSettings
from state.snapshot_places import SnapshotPlace
from streams.catalogue.catalogue import Catalogue
from streams.endpoint.admin import add_routes, application_options
from streams.endpoint.connections import BoundedRunner, ConnectionLimits
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.routes import ROUTES
from streams.endpoint.serving import SERVER_OPTIONS, software_version
from streams.engine.scores import Scoring
from streams.workers.answering.answers_refresher import AnswersRefresher
from streams.workers.answering.authentication import authenticated_workers
from streams.workers.answering.local_customers import LocalCustomers
from streams.workers.answering.local_items import LocalItems
from streams.workers.answering.order_scoring import OrderScoring
from streams.workers.answering.seed_lists import SeedListReader
from streams.workers.answering.worker_answers import WorkerAnswers
from streams.workers.answering.worker_routes import internal_routes, worker_routes
from streams.workers.cluster.owners import GroupOwners, SoleOwner, client_id_of
from streams.workers.cluster.peers import PeerClient
from streams.workers.cluster.routing import Router
from streams.workers.cluster.signatures import Signer
from streams.workers.copier import REKEY, rekeying
from streams.workers.ingest import Ingest
from streams.workers.kafka.address_guard import AddressGuard
from streams.workers.kafka.catalogue_topic import CatalogueFeed
from streams.workers.kafka.copies import PARTITIONER
from streams.workers.kafka.errors import AddressUnavailable, WorkerError
from streams.workers.kafka.placement import Placement, PlacementReader
from streams.workers.kafka.producers import PurchaseLog
from streams.workers.kafka.skipped import SkippedRecords
from streams.workers.kafka.stage_service import Membership, StageService
from streams.workers.kafka.topic_watch import TopicWatch
from streams.workers.kafka.topics import check_topics, read_identities
from streams.workers.settings import STAGES
from streams.workers.snapshot_schedule import SnapshotSchedule
from streams.workers.standby import Standbys
from streams.workers.status import WorkerStatus
from streams.workers.tally import Tally
from streams.workers.warm_up import WarmUp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from state.log_identity import LogIdentity
    from streams.workers.cluster.owners import PartitionOwners
    from streams.workers.kafka.stage_service import Stage
    from streams.workers.kafka.topics import Partitions
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

WEB_SHUTDOWN_S = 2.0
SWITCH_INTERVAL_S = 0.0005
"""For how long a thread keeps the interpreter while another waits. An answer takes a dozen steps, and at Python's 5 ms
each of them waits so long for threads that search and count."""


def run_worker(settings: WorkerSettings) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Raises:
        BrokerUnavailable, WorkerError, StateError: it cannot start.
        SystemExit: it has ended, with code 0 after SIGTERM and another after a failure.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    topics = settings.topics
    groups = [topics.group(stage) for stage in settings.stages] + [topics.rekey_group] * topics.rekey
    partitions = check_topics(
        settings.broker,
        topics,
        groups=groups,
        record_bytes=settings.record_bytes,
        timeout_s=settings.broker_timeout_s,
    )
    with StateDirectory(settings.state_dir, settings.topics.generation) as directory:
        directory.lock()
        _check_address(settings)
        logs = read_identities(settings.broker, settings.topics, timeout_s=settings.broker_timeout_s)
        worker = Worker(settings, directory, partitions, logs, _signer(settings, logs))
        logger.info(
            "worker of generation %s at %s: %s over %d purchases and %d item partitions; http://%s",
            settings.topics.generation,
            settings.broker,
            " and ".join(settings.stages),
            partitions.purchases,
            partitions.items,
            settings.advertised,
        )
        mode.Worker(worker.app, override_logging=False, redirect_stdouts=False).execute_from_commandline()


def _signer(settings: WorkerSettings, logs: Mapping[str, LogIdentity]) -> Signer:
    """What this worker and its peers sign with.

    Raises:
        WorkerError: there is no secret, and the broker gives topics no ids to derive one from.
    """
    if settings.worker_secret is not None:
        return Signer.of_secret(settings.worker_secret)
    if not settings.fencing:
        return Signer.of_one()
    ids = [logs[role].log_id for role in ("purchases", "co-purchases")]
    if not all(ids):
        raise WorkerError(
            f"the broker at {settings.broker} gives topics no ids, from which workers derive what they sign with: "
            "start all workers with the same --worker-secret"
        )
    return Signer.of_topics(ids)


def _check_address(settings: WorkerSettings) -> None:
    """Fail before anything starts if the web server could not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(settings.admin_address)
        except OSError as error:
            raise AddressUnavailable(
                f"the web server cannot listen at {settings.admin}: {error.strerror}; give this worker another --admin"
            ) from None


class Worker:
    """One worker, assembled but not started.

    Args:
        settings: of the worker.
        directory: where the stores are.
        partitions: how many the topics have.
        logs: the topics by role.
        signer: signs what this worker sends to others, and checks what they send.

    Attributes:
        app: the Faust app that runs it.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        directory: StateDirectory,
        partitions: Partitions,
        logs: Mapping[str, LogIdentity],
        signer: Signer,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._partitions = partitions
        counting = CountingSettings(
            settings.pair_window,
            partitions.items,
            pairs=settings.pairs,
            events=settings.events,
            seed_weights=settings.seed_weights,
        )
        skipped = self._skipped = SkippedRecords()
        partitioner = PARTITIONER if settings.topics.rekey else settings.partitioner
        self._placement = Placement(partitions.purchases, partitioner)
        memory = self._memory = Memory(settings.memory)
        self._ingest = (
            Ingest(settings, directory, counting, logs, self._placement, memory)
            if "ingest" in settings.stages
            else None
        )
        self._tally = (
            Tally(settings, directory, counting, logs, skipped, memory) if "tally" in settings.stages else None
        )
        self._rekey = rekeying(settings, logs) if settings.topics.rekey and self._ingest is not None else None
        self._catalogue = Catalogue()
        self._memberships = {stage: Membership() for stage in (*STAGES, REKEY)}
        self._standbys: dict[str, Standbys[Any]] = {}
        admin = AdminSettings(
            settings.admin_token,
            _own_names(settings),
            version=software_version(),
            read_token=settings.read_token,
            origins=settings.origins,
        )
        self._signer = signer
        options = application_options(admin)
        options["middlewares"].append(authenticated_workers(signer, settings.advertised))
        self.app = _faust_app(settings, options)
        self._web = self.app.web = _AdminWeb(self.app)
        # services start in this order, each after the one before it
        self.app.service(_named("warm-up", WarmUp, directory.path / "warm-up", memory, settings.pairs))
        if settings.fencing:
            self._guard_address()
        self._placing = _made("placement", PlacementReader, settings.broker, settings.topics, self._placement)
        self.app.service(self._placing)  # type: ignore[arg-type]  # Faust takes instances too
        self._add_stages(counting)
        feed = _made("catalogue", CatalogueFeed, settings.broker, settings.topics.items, self._catalogue, skipped)
        self._snapshots = self._add_snapshots()
        self._watch = _made("topics", TopicWatch, settings.broker, settings.topics, logs, feed.read_again)
        for made in (feed, self._watch):
            self.app.service(made)  # type: ignore[arg-type]
        self._add_endpoint(admin)

    def _add_snapshots(self) -> SnapshotSchedule | None:
        """Write snapshots by itself, if the worker is told to."""
        settings = self._settings
        if settings.snapshot_to is None or settings.snapshot_every_s is None:
            return None
        schedule = _made(
            "snapshots",
            SnapshotSchedule,
            SnapshotPlace(settings.snapshot_to, settings.topics.generation),
            [stage for stage in (self._ingest, self._tally) if stage is not None],
            self._directory.path / "unfinished-snapshots",
            settings.snapshot_every_s,
            settings.snapshots_kept,
        )
        self.app.service(schedule)  # type: ignore[arg-type]  # Faust takes instances too
        return schedule

    def _guard_address(self) -> None:
        settings = self._settings
        guard = _named(
            "address",
            AddressGuard,
            settings.broker,
            [settings.topics.group(stage) for stage in STAGES],
            client_id_of(settings.advertised),
            settings.advertised,
            stages=len(settings.stages),
            session_timeout_ms=settings.session_timeout_ms,
        )
        self.app.service(guard)

    def _add_stages(self, counting: CountingSettings) -> None:
        topics = self._settings.topics
        shared: dict[str, object] = {"validation rules": counting.rules}
        # workers of versions that know neither say nothing of them
        if counting.pairs != CUSTOMER:
            shared["--pairs"] = counting.pairs
        if counting.events != PURCHASES:
            shared["--events"] = counting.events
        seeds = {"types of --seed-weights": ":".join(counting.seeds)} if counting.seeds else {}
        if self._rekey is not None:
            self._add_stage(self._rekey, topics.rekey_group, {})  # its members may be of several generations
        if self._ingest is not None:
            log = {"topic of orders": topics.log} if topics.rekey else {}
            self._add_stage(self._ingest, topics.group(self._ingest.name), shared | log | seeds)
        if self._tally is not None:
            self._add_stage(self._tally, topics.group(self._tally.name), {"--score": self._settings.score} | shared)

    def _add_stage(self, stage: Stage, group: str, shared: Mapping[str, object]) -> None:
        settings = self._settings
        membership = self._memberships[stage.name]
        standbys = self._standbys_of(stage, membership) if settings.standby else None
        service = _named(
            stage.name,
            StageService,
            stage,
            membership,
            broker=settings.broker,
            group=group,
            client_id=client_id_of(settings.advertised),
            session_timeout_ms=settings.session_timeout_ms,
            shared=shared,
            standby=dict if standbys is None else lambda: dict(standbys.lag),
        )
        self.app.service(service)
        if standbys is not None:
            self.app.service(standbys)  # type: ignore[arg-type]  # Faust takes instances too

    def _standbys_of(self, stage: Stage, membership: Membership) -> Standbys[Any] | None:
        """What keeps on standby the partitions of a stage that this worker does not own; None: it has no state."""
        if not isinstance(stage, Ingest | Tally):
            return None
        count = self._partitions.purchases if stage is self._ingest else self._partitions.items
        standbys: Standbys[Any] = _made(
            f"{stage.name} standbys", Standbys, stage, membership, count, self._settings.broker
        )
        stage.take_standby = standbys.take
        self._standbys[stage.name] = standbys
        return standbys

    def _add_endpoint(self, admin: AdminSettings) -> None:
        """Serve the HTTP endpoint, and have the stages notify it of changes."""
        settings, partitions, catalogue = self._settings, self._partitions, self._catalogue
        address = settings.advertised
        customers = LocalCustomers(self._ingest, self._memberships["ingest"], self._placement)
        scoring = Scoring(settings.score)
        items = LocalItems(self._tally, self._memberships["tally"], partitions.items, catalogue, address, scoring)
        owners = self._owners()
        peers = PeerClient(address, self._signer)
        router = Router(address, owners)
        log = PurchaseLog(settings.broker, settings.topics.purchases, idempotent=settings.fencing)
        status = WorkerStatus(
            address,
            settings.topics.generation,
            self._ingest,
            self._tally,
            self._memberships,
            lambda: self._watch.missing,
            self._skipped,
            self._directory,
            self._snapshots,
            self._rekey,
            self._standbys,
            self._memory,
        )
        answers = WorkerAnswers(address, catalogue, customers, self._placing, items, owners, peers, router, log, status)
        if self._ingest is not None:
            self._ingest.on_counted = answers.orders_counted
            if settings.score_one_in:
                lists = SeedListReader(items, router, owners, peers)
                self._ingest.scorer = OrderScoring(items, lists, settings.pair_window, settings.score_one_in).scorer
        if self._tally is not None:
            self._tally.on_published = answers.on_published
        self.app.service(_named("answers refresher", AnswersRefresher, answers, items, owners, peers, log))
        web = self._web.web_app
        snapshots = settings.snapshot_root or settings.state_dir / "snapshots"
        add_routes(web, answers, admin, (*ROUTES, *worker_routes(status, snapshots)))
        web.router.add_routes(internal_routes(answers, items))

    def _owners(self) -> PartitionOwners:
        """Which worker owns which partition; a worker without fencing owns all of them."""
        settings = self._settings
        if settings.fencing:
            return GroupOwners(settings.broker, {stage: settings.topics.group(stage) for stage in STAGES})
        return SoleOwner(settings.advertised, self._partitions.purchases, self._partitions.items)


def _own_names(settings: WorkerSettings) -> tuple[str, ...]:
    """Names by which requests may call a worker: where it listens, where others reach it, and those it was given."""
    advertised = settings.advertised.rpartition(":")[0]
    return (settings.admin_address[0], advertised, *settings.hosts)


class _ServicesOnly(BootStrategy):
    """Starts Faust without its own consumer, producer and tables: the stages bring theirs."""

    enable_kafka = False
    enable_web = True


class _AdminWeb(Web):
    """Faust's web server, without its routes about tables and agents, of which there are none.

    Faust's own runner limits no connections, takes no longer request line than aiohttp's 8 KB, too short for the
    longest ids with every byte as %XX, and waits a minute for open connections when it stops.
    """

    default_blueprints: ClassVar[list[tuple[str, str]]] = []
    production_blueprints: ClassVar[list[tuple[str, str]]] = []

    def __init__(self, app: faust.App) -> None:
        super().__init__(app)
        options = {"shutdown_timeout": WEB_SHUTDOWN_S, **SERVER_OPTIONS}
        self._bounded_runner = BoundedRunner(self.web_app, ConnectionLimits(), **options)

    async def start_server(self) -> None:
        """Listen."""
        await self._bounded_runner.listen(self.app.conf.web_bind, self.app.conf.web_port)

    async def stop_server(self) -> None:
        """Let open requests end, and stop listening."""
        await self._bounded_runner.cleanup()


def _faust_app(settings: WorkerSettings, web_options: dict[str, Any]) -> faust.App:
    host, port = settings.admin_address
    app = faust.App(
        f"{settings.topics.prefix}alsobought",
        broker=f"kafka://{settings.broker}",
        topic_disable_leader=True,
        autodiscover=False,
        web_bind=host,
        web_port=port,
        web_application_options=web_options,
        datadir=str(settings.state_dir / settings.topics.generation / "faust"),
    )
    app.boot_strategy = _ServicesOnly(app)
    return app


_Some = TypeVar("_Some", bound=mode.Service)


def _named(name: str, service: type[_Some], *arguments: object, **options: object) -> type[_Some]:
    """A service class that Faust can instantiate without arguments, and that has a readable name in the log."""

    class Named(service):  # type: ignore[misc, valid-type]
        label = shortlabel = name

        def __init__(self, **_: Any) -> None:  # noqa: ANN401 - Faust's own
            super().__init__(*arguments, **options)

    return Named


def _made(name: str, service: type[_Some], *arguments: object) -> _Some:
    """A service with a readable name in the log, for parts that others refer to."""
    made: _Some = cast("Any", _named(name, service, *arguments))()
    return made
