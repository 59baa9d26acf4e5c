"""The worker: a Faust app with the two stages as services, wired from settings."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faust
from faust.app.base import BootStrategy
from faust.web import View
from mode import Worker

from state.directory import StateDirectory
from state.errors import StateError
from state.settings import CountingSettings
from state.snapshots import snapshot_stores
from streams.workers.ingest import Ingest
from streams.workers.stage_service import StageService
from streams.workers.tally import Tally
from streams.workers.topics import check_topics

if TYPE_CHECKING:
    from faust.web import Request, Response

    from state.snapshots import Store
    from streams.workers.settings import WorkerSettings
    from streams.workers.stage_service import Stage

logger = logging.getLogger(__name__)


class _ServicesOnly(BootStrategy):
    """Faust without its own consumer, producer and tables: the stages bring theirs."""

    enable_kafka = False
    enable_web = True


class Shop:
    """One worker, assembled.

    Attributes:
        app: the Faust app, not started.
        ingest, tally: its stages; None for one that runs elsewhere.
    """

    def __init__(self, settings: WorkerSettings, directory: StateDirectory, item_partitions: int) -> None:
        counting = CountingSettings(settings.pair_window, item_partitions)
        self.settings = settings
        self.ingest = Ingest(settings, directory, counting) if "ingest" in settings.stages else None
        self.tally = Tally(settings, directory, counting) if "tally" in settings.stages else None
        self.app = _app(settings)
        for stage in self.stages:
            self.app.service(_service(stage, settings))
        _add_pages(self)

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
                "lines": {number: part.counts.lines for number, part in self.tally.parts.items()},
                "current": {
                    number: part.related.current == part.counts.position for number, part in self.tally.parts.items()
                },
                "lists_published": self.tally.published,
                "oldest_change_s": round(self.tally.age_s(), 3),
            }
        return status


def _app(settings: WorkerSettings) -> faust.App:
    host, port = settings.admin_address
    app = faust.App(
        f"{settings.topics.prefix}alsobought",
        broker=f"kafka://{settings.broker}",
        topic_disable_leader=True,
        autodiscover=False,
        web_bind=host,
        web_port=port,
        datadir=str(settings.state_dir / settings.topics.generation / "faust"),
    )
    app.boot_strategy = _ServicesOnly(app)
    return app


def _service(stage: Stage, settings: WorkerSettings) -> type[StageService]:
    """A service class that Faust can make without arguments."""

    class Service(StageService):
        def __init__(self, **_: Any) -> None:  # noqa: ANN401 - Faust's own
            super().__init__(stage, settings, settings.topics.group(stage.name))

    return Service


def _add_pages(shop: Shop) -> None:
    @shop.app.page("/status")
    async def status(view: View, request: Request) -> Response:  # noqa: ARG001
        return view.json(shop.status())

    @shop.app.page("/snapshot")
    class Snapshot(View):
        async def post(self, request: Request) -> Response:
            """Write a snapshot to the directory `to`, on this machine."""
            to = Path((await request.json())["to"])
            return self.json({"stores": [str(path) for path in shop.snapshot(to)]})


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
        shop = Shop(settings, directory, partitions.items)
        logger.info(
            "worker of generation %s at %s: %s over %d purchases and %d item partitions; http://%s",
            settings.topics.generation,
            settings.broker,
            " and ".join(settings.stages),
            partitions.purchases,
            partitions.items,
            settings.admin,
        )
        Worker(shop.app, override_logging=False, redirect_stdouts=False).execute_from_commandline()
