"""Snapshots: below the root and nowhere else, never over anything, and for nobody else to read."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from state.directory import StateDirectory
from state.errors import SnapshotFailed
from state.settings import CountingSettings
from state.snapshot_places import CopiedStore
from state.snapshots import place_below, snapshot_directory, snapshot_stores
from streams.endpoint.admin import add_routes, application_options
from streams.endpoint.connections import BoundedRunner, ConnectionLimits
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.serving import SERVER_OPTIONS
from streams.engine.embedded import Embedded
from streams.workers.answering.worker_routes import worker_routes
from tests.live_shop import TOKEN, Shop, open_shop, shop_log
from tests.log_strategies import as_orders
from tests.test_admin import post, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Stores:
    """The part of a worker's status that writes snapshots, over an embedded state."""

    def __init__(self, embedded: Embedded) -> None:
        self._embedded = embedded

    def snapshot(self, to: Path) -> list[Path]:
        """Write a snapshot, as a worker does."""
        return snapshot_stores([self._embedded.histories, *self._embedded.counts, *self._embedded.related], to)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop that serves the routes of workers, whose snapshot root is `<tmp_path>/root`."""
    settings = AdminSettings(TOKEN)
    with open_shop(tmp_path / "state", settings=settings) as shop:
        stores: Any = Stores(shop.embedded)
        app = web.Application(**application_options(settings))
        add_routes(app, shop.answers, settings, worker_routes(stores, tmp_path / "root"))
        runner = BoundedRunner(app, ConnectionLimits(), **SERVER_OPTIONS)
        shop.run(runner.listen("127.0.0.1", 0))
        shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield shop
        shop.run(runner.cleanup())


def test_a_snapshot_is_written_below_the_root_and_nowhere_else(shop: Shop, tmp_path: Path) -> None:
    """Whoever has the token could write anywhere on the machine."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)

    for to in ("june", str(tmp_path / "root" / "july" / "1st")):
        stores = post(shop, "/snapshot", {"to": to}, TOKEN).document["stores"]
        assert {path.rsplit("/", 1)[1] for path in stores} == {"histories-0", "counts-0", "related-0"}
        assert all(path.startswith(str(tmp_path / "root")) for path in stores)
    for to in ("..", "../root2", str(tmp_path / "elsewhere"), "link/elsewhere", "june/../../x", "/", ".", "a\0b"):
        refused(post(shop, "/snapshot", {"to": to}, TOKEN), 400, "no snapshot was written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["root", "state"]


def test_a_snapshot_replaces_nothing(shop: Shop, tmp_path: Path) -> None:
    """Neither an earlier snapshot nor the state of a worker, which has the same names."""
    assert post(shop, "/snapshot", {"to": "june"}, TOKEN).status == 200
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*")}

    refused(post(shop, "/snapshot", {"to": "june"}, TOKEN), 400, "replaces anything")

    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "root").rglob("*")} == before


def test_if_one_store_is_there_none_is_written(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "root" / "june" / "related-0").mkdir(parents=True)

    refused(post(shop, "/snapshot", {"to": "june"}, TOKEN), 400, "related-0")

    assert [path.name for path in (tmp_path / "root" / "june").iterdir()] == ["related-0"]


def test_no_other_user_can_read_a_snapshot(shop: Shop, tmp_path: Path) -> None:
    assert post(shop, "/snapshot", {"to": "june"}, TOKEN).status == 200

    for path in [tmp_path / "root" / "june", *(tmp_path / "root" / "june").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_snapshot_of_a_stopped_worker_restores_its_stores(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path / "state" / "live", CountingSettings())
    embedded.count(as_orders(shop_log()), len(shop_log()))
    list(embedded.publish())
    embedded.close()
    with StateDirectory(tmp_path / "state", "live") as directory:
        written = snapshot_directory(directory, tmp_path / "june")
        with pytest.raises(SnapshotFailed, match="is there already"):
            snapshot_directory(directory, tmp_path / "june")

    (tmp_path / "restored").mkdir()
    for path in written:
        CopiedStore(path).restore(tmp_path / "restored" / path.name)
    assert Embedded(tmp_path / "restored", CountingSettings()).purchases_offset == len(shop_log())


def test_a_root_itself_is_no_place(tmp_path: Path) -> None:
    assert place_below(tmp_path, tmp_path / "june") == (tmp_path / "june").resolve()
    with pytest.raises(SnapshotFailed, match="--snapshot-root"):
        place_below(tmp_path, tmp_path)
