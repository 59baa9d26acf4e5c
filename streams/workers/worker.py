"""The worker: a Faust app with the two stages as services, wired from settings."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import faust
import mode
from faust.app.base import BootStrategy

from state.directory import StateDirectory
from state.errors import StateError
from state.settings import CountingSettings
from state.snapshots import snapshot_stores
from streams.catalogue.catalogue import Catalogue
from streams.endpoint.admin import add_routes, application_options
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.routes import ROUTES
from streams.endpoint.serving import software_version
from streams.engine.scores import Scoring
from streams.workers.admin_web import AdminWeb
from streams.workers.answering.answers_refresher import AnswersRefresher
from streams.workers.answering.local_customers import LocalCustomers
from streams.workers.answering.local_items import LocalItems
from streams.workers.answering.order_scoring import OrderScoring
from streams.workers.answering.seed_lists import SeedListReader
from streams.workers.answering.worker_answers import WorkerAnswers
from streams.workers.answering.worker_routes import internal_routes, worker_routes
from streams.workers.cluster.owners import GroupOwners, SoleOwner, client_id_of
from streams.workers.cluster.peers import PeerClient
from streams.workers.cluster.routing import Router
from streams.workers.ingest import Ingest
from streams.workers.kafka.catalogue_topic import CatalogueFeed
from streams.workers.kafka.producers import PurchaseLog
from streams.workers.kafka.stage_service import Membership, StageService
from streams.workers.kafka.topics import check_topics
from streams.workers.settings import STAGES
from streams.workers.status import WorkerStatus
from streams.workers.tally import Tally
from streams.workers.warm_up import WarmUp

if TYPE_CHECKING:
    from pathlib import Path

    from state.store import Store
    from streams.workers.cluster.owners import PartitionOwners
    from streams.workers.kafka.stage_service import Stage
    from streams.workers.kafka.topics import Partitions
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)


class _ServicesOnly(BootStrategy):
    """Faust without its own consumer, producer and tables: the stages bring theirs."""

    enable_kafka = False
    enable_web = True


class Worker:
    """One worker, assembled.

    Args:
        settings: the worker's.
        directory: where the stores are.
        partitions: how many there are of the topics.
        catalogue: is brought up to date with the topic of items; a new one if not given.

    Attributes:
        app: the Faust app, not started.
        web: its web server.
        ingest, tally: its stages; None for one that runs elsewhere.
        answers: of its admin endpoint.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        directory: StateDirectory,
        partitions: Partitions,
        catalogue: Catalogue | None = None,
    ) -> None:
        counting = CountingSettings(settings.pair_window, partitions.items)
        self.settings = settings
        self.ingest = Ingest(settings, directory, counting) if "ingest" in settings.stages else None
        self.tally = Tally(settings, directory, counting) if "tally" in settings.stages else None
        memberships = {stage: Membership() for stage in STAGES}
        admin = AdminSettings(token=settings.admin_token, version=software_version())
        self.app = _app(settings, application_options(admin))
        self.web = self.app.web = AdminWeb(self.app)
        self.app.service(_made("warm-up", WarmUp, directory.path / "warm-up"))
        for stage in self.stages:
            self.app.service(_stage_service(stage, settings, memberships[stage.name]))
        catalogue = Catalogue() if catalogue is None else catalogue
        self.app.service(_made("catalogue", CatalogueFeed, settings.broker, settings.topics.items, catalogue))
        self.answers = self._endpoint(partitions, catalogue, memberships, admin)

    def _endpoint(
        self, partitions: Partitions, catalogue: Catalogue, memberships: dict[str, Membership], admin: AdminSettings
    ) -> WorkerAnswers:
        """Serve the admin endpoint, and make the stages tell it what happens."""
        worker, topics = self.settings.advertised, self.settings.topics
        customers = LocalCustomers(self.ingest, memberships["ingest"], partitions.purchases, catalogue)
        scoring = Scoring(self.settings.score)
        items = LocalItems(self.tally, memberships["tally"], partitions.items, catalogue, worker, scoring)
        owners = self._owners(partitions)
        peers = PeerClient(worker)
        log = PurchaseLog(self.settings.broker, topics.purchases, idempotent=self.settings.fencing)
        status = WorkerStatus(worker, self.ingest, self.tally, memberships)
        router = Router(worker, owners)
        answers = WorkerAnswers(worker, catalogue, customers, items, owners, peers, router, log, status)
        if self.ingest is not None:
            self.ingest.on_counted = answers.counted
            if self.settings.score_one_in:
                lists = SeedListReader(items, router, owners, peers)
                scoring_orders = OrderScoring(items, lists, self.settings.pair_window, self.settings.score_one_in)
                self.ingest.scorer = scoring_orders.scorer
        if self.tally is not None:
            self.tally.on_published = lambda partition, numbers: items.told(partition, numbers, answers.changes)
        self.app.service(_made("answers refresher", AnswersRefresher, answers, items, owners, peers, log))
        web = self.web.web_app
        add_routes(web, answers, admin, (*ROUTES, *worker_routes(self)))
        web.router.add_routes(internal_routes(answers, items))
        return answers

    def _owners(self, partitions: Partitions) -> PartitionOwners:
        """Who has which partition; a worker without fencing has all of them."""
        if self.settings.fencing:
            return GroupOwners(self.settings.broker, {stage: self.settings.topics.group(stage) for stage in STAGES})
        return SoleOwner(self.settings.advertised, partitions)

    @property
    def stages(self) -> list[Stage]:
        """The stages that run here."""
        return [stage for stage in (self.ingest, self.tally) if stage is not None]

    def snapshot(self, to: Path) -> list[Path]:
        """Write a checkpoint of every open store to `to`; may be called while they work."""
        stores: list[Store] = [
            store for stage in (self.ingest, self.tally) if stage is not None for store in stage.stores
        ]
        return snapshot_stores(stores, to)

    def status(self) -> dict[str, Any]:
        """What the worker is doing, in numbers."""
        status: dict[str, Any] = {"generation": self.settings.topics.generation}
        if self.ingest is not None:
            status["ingest"] = {
                "offsets": self.ingest.offsets(),
                "lines": self.ingest.lines,
                "rejected": self.ingest.rejected,
            }
        if self.tally is not None:
            status["tally"] = {
                "offsets": self.tally.offsets(),
                "lines": {number: part.counts.lines for number, part in self.tally.partitions.items()},
                "current": {number: part.is_exact() for number, part in self.tally.partitions.items()},
                "lists_published": self.tally.published,
                "oldest_change_s": round(self.tally.age_s(), 3),
            }
        return status


def _app(settings: WorkerSettings, application: dict[str, Any]) -> faust.App:
    host, port = settings.admin_address
    app = faust.App(
        f"{settings.topics.prefix}alsobought",
        broker=f"kafka://{settings.broker}",
        topic_disable_leader=True,
        autodiscover=False,
        web_bind=host,
        web_port=port,
        web_application_options=application,
        datadir=str(settings.state_dir / settings.topics.generation / "faust"),
    )
    app.boot_strategy = _ServicesOnly(app)
    return app


def _stage_service(stage: Stage, settings: WorkerSettings, membership: Membership) -> type[mode.Service]:
    return _made(
        stage.name,
        StageService,
        stage,
        membership,
        broker=settings.broker,
        group=settings.topics.group(stage.name),
        client_id=client_id_of(settings.advertised),
        session_timeout_ms=settings.session_timeout_ms,
    )


def _made(name: str, service: type[mode.Service], *arguments: object, **options: object) -> type[mode.Service]:
    """A service class that Faust can make without arguments, and calls by a name of ours in its log."""

    class Made(service):  # type: ignore[misc, valid-type]
        label = shortlabel = name

        def __init__(self, **_: Any) -> None:  # noqa: ANN401 - Faust's own
            super().__init__(*arguments, **options)

    return Made


def _check_free(settings: WorkerSettings) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(settings.admin_address)
        except OSError as error:
            raise StateError(
                f"the web server cannot listen at {settings.admin}: {error.strerror}; give this worker another --admin"
            ) from None


def run_worker(settings: WorkerSettings) -> None:
    """Run a worker until it is told to stop.

    Raises:
        BrokerUnavailable, TopicsUnfit, StateError: it cannot start.
        SystemExit: it has ended, with code 0 after SIGTERM and another after a failure.
    """
    partitions = check_topics(settings.broker, settings.topics, timeout_s=settings.broker_timeout_s)
    with StateDirectory(settings.state_dir, settings.topics.generation) as directory:
        directory.lock()
        _check_free(settings)
        worker = Worker(settings, directory, partitions)
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
