"""Snapshots at a place: whole or not there, the newest that is whole is restored, the oldest are removed."""

from __future__ import annotations

import json
import shutil
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import fs

from state.directory import StateDirectory
from state.errors import SnapshotFailed, StateDamaged
from state.recovery import newest_first, open_or_recover
from state.settings import CountingSettings
from state.snapshot_places import MANIFEST, SnapshotPlace, snapshots_of
from streams.workers.history_stores import HistoryStores
from tests.damaged_files import cut, empty, garble, remove
from tests.live_shop import shop_log, write_stopped_shop
from tests.test_recovery import OPEN, content

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STORE = "counts-0"


class ObjectStore(SnapshotPlace):
    """A place in an object store: a file system that cannot rename, in a directory of this machine."""

    def __init__(self, root: Path) -> None:
        super().__init__("s3://bucket/snapshots", "live")
        root.mkdir(exist_ok=True)
        self.__dict__["_place"] = (fs.SubTreeFileSystem(str(root), fs.LocalFileSystem()), "bucket/snapshots")


@pytest.fixture(scope="module", name="stopped")
def _stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores of a small shop, closed."""
    path = tmp_path_factory.mktemp("stopped")
    write_stopped_shop(path)
    return path


@pytest.fixture(params=["directory", "object store"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotPlace:
    """A place of each kind, below `<tmp_path>/place`."""
    if request.param == "directory":
        return SnapshotPlace(str(tmp_path / "place"), "live")
    return ObjectStore(tmp_path / "place")


def on_disk(tmp_path: Path) -> list[Path]:
    """The directories of snapshots at a place, oldest first."""
    return sorted(path for path in (tmp_path / "place").rglob("0*-*") if path.is_dir())


def files_of(store: Path) -> dict[str, bytes]:
    """What is in each file of a store."""
    return {file.name: file.read_bytes() for file in store.iterdir()}


def test_what_is_restored_is_what_was_written(place: SnapshotPlace, stopped: Path, tmp_path: Path) -> None:
    for name in OPEN:
        snapshot = place.write(name, stopped / name, kept=3)
        assert place.newest_first(name) == [snapshot]
        snapshot.restore(tmp_path / name)

        assert files_of(tmp_path / name) == files_of(stopped / name)
        with closing(OPEN[name](tmp_path / name)) as store:
            assert len(content(store)) > 3


@pytest.mark.parametrize("damage", [cut, garble, empty, remove])
@pytest.mark.parametrize("files", ["*.sst", "CURRENT", "MANIFEST-*", "OPTIONS-*", MANIFEST])
def test_the_newest_snapshot_that_verifies_is_taken(
    stopped: Path, tmp_path: Path, files: str, damage: Callable[[Path], None]
) -> None:
    """Also where RocksDB would take what is damaged for a shorter history."""
    place = SnapshotPlace(str(tmp_path / "place"), "live")
    first, second = (place.write(STORE, stopped / STORE, kept=3) for _ in range(2))
    (newest,) = [path for path in on_disk(tmp_path) if second.path.endswith(path.name)]
    damage(max(newest.glob(files), key=lambda file: file.stat().st_size))

    if (files, damage) != (MANIFEST, remove):  # without one it is not finished
        with pytest.raises(StateDamaged, match=r"damaged|cannot be read"):
            place.newest_first(STORE)[0].restore(tmp_path / "directly")
    with closing(open_or_recover(tmp_path / "live" / STORE, str(tmp_path / "place"), OPEN[STORE])) as store:
        restored = content(store)

    first.restore(tmp_path / "first")
    with closing(OPEN[STORE](tmp_path / "first")) as store:
        assert restored == content(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "live", "place"]
    assert [path.name for path in (tmp_path / "live").iterdir()] == [STORE]


def test_the_oldest_are_removed(place: SnapshotPlace, stopped: Path, tmp_path: Path) -> None:
    """And of every store by itself, since partitions move between workers."""
    other = place.write("related-0", stopped / "related-0", kept=2)
    written = [place.write(STORE, stopped / STORE, kept=2) for _ in range(4)]

    assert place.newest_first(STORE) == written[:1:-1]
    assert place.newest_first("related-0") == [other]
    assert len(on_disk(tmp_path)) == 3


def test_what_was_not_finished_is_no_snapshot_and_is_removed(
    place: SnapshotPlace, stopped: Path, tmp_path: Path
) -> None:
    """A worker may be killed after any file."""
    first = place.write(STORE, stopped / STORE, kept=3)
    (half,) = on_disk(tmp_path)
    for number, name in ((2, "00000002-aa"), (3, "00000003-bb.unfinished")):
        shutil.copytree(half, half.with_name(name))
        (half.with_name(name) / MANIFEST).unlink()
        assert place.newest_first(STORE) == [first], number

    last = place.write(STORE, stopped / STORE, kept=3)

    assert place.newest_first(STORE) == [last, first]
    assert len(on_disk(tmp_path)) == 2


def test_a_place_that_fails_leaves_the_older_snapshots(place: SnapshotPlace, stopped: Path, tmp_path: Path) -> None:
    """Nothing is removed before its successor is there."""
    first = place.write(STORE, stopped / STORE, kept=1)
    broken = tmp_path / "checkpoint"
    shutil.copytree(stopped / STORE, broken)
    (broken / "zzz").mkdir()  # as a file that cannot be read

    with pytest.raises(SnapshotFailed, match="no snapshot of counts-0 was written"):
        place.write(STORE, broken, kept=1)

    assert place.newest_first(STORE) == [first]
    assert len(on_disk(tmp_path)) == 1


def test_no_other_user_can_read_it(stopped: Path, tmp_path: Path) -> None:
    SnapshotPlace(str(tmp_path / "place"), "live").write("histories-0", stopped / "histories-0", kept=3)

    for path in [tmp_path / "place", *(tmp_path / "place").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_manifest_cannot_name_files_elsewhere(stopped: Path, tmp_path: Path) -> None:
    """Whoever may write to the place must not write anywhere else on the machine that restores it."""
    place = SnapshotPlace(str(tmp_path / "place"), "live")
    snapshot = place.write(STORE, stopped / STORE, kept=3)
    manifest = on_disk(tmp_path)[0] / MANIFEST
    document: dict[str, Any] = json.loads(manifest.read_text())
    for name in ("../elsewhere", "/tmp/elsewhere", "..", "", "a\0b"):  # noqa: S108 - nothing is written there
        document["files"][0][0] = name
        manifest.write_text(json.dumps(document))

        with pytest.raises(StateDamaged, match="is damaged"):
            snapshot.restore(tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_snapshots_of_another_state_are_passed_over(stopped: Path, tmp_path: Path) -> None:
    """Of another pair window, say: the state is counted again, and what is there stays."""
    place = SnapshotPlace(str(tmp_path / "place"), "live")
    place.write(STORE, stopped / STORE, kept=3)

    def open_at(path: Path) -> Any:  # noqa: ANN401 - a store
        from streams.engine.stages import open_counts  # noqa: PLC0415

        return open_counts(path, 0, CountingSettings(pair_window=7))

    with closing(open_or_recover(tmp_path / "live" / STORE, str(tmp_path / "place"), open_at)) as store:
        assert store.lines == 0
    assert len(place.newest_first(STORE)) == 1


def test_generations_are_apart(stopped: Path, tmp_path: Path) -> None:
    SnapshotPlace(str(tmp_path / "place"), "live").write(STORE, stopped / STORE, kept=3)

    assert list(snapshots_of(STORE, "next", str(tmp_path / "place"))) == []


@pytest.mark.parametrize("address", ["ftp://host/x", "https://host/x", "mock://x"])
def test_an_address_of_no_known_kind_is_refused(address: str) -> None:
    with pytest.raises(SnapshotFailed, match="is no place for snapshots: name a directory, or an address: file://"):
        SnapshotPlace(address, "live")


def test_a_place_that_cannot_be_read_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker starts all the same, and counts from the topics; what it may say of the address has no secret."""
    address = "s3://key:secret@bucket/x?endpoint_override=127.0.0.1:9&scheme=http&region=x&connect_timeout=1"

    assert list(newest_first(address, tmp_path / "live" / STORE)) == []

    assert "no snapshot of counts-0 can be restored" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("delivered", "kept"), [(len(shop_log()), True), (len(shop_log()) - 1, False)])
def test_histories_that_are_counted_again_are_not_restored_ahead_of_the_deltas(
    stopped: Path, tmp_path: Path, delivered: int, kept: bool
) -> None:
    """Another owner divided these orders into other commits: what a snapshot had not delivered would be missing."""
    SnapshotPlace(str(tmp_path / "place"), "live").write("histories-0", stopped / "histories-0", kept=3)
    with StateDirectory(tmp_path, "live") as directory:
        stores = HistoryStores(directory, CountingSettings(), {}, str(tmp_path / "place"))

        with closing(stores.emptied(0, stores.open(0), delivered)) as store:
            assert store.purchases_offset == (len(shop_log()) if kept else 0)
