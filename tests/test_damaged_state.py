"""Damaged or locked state, other settings, a failing disk: an error in one sentence, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from state.rocks import Rocks, WriteBatch
from streams.engine.embedded import Embedded
from tests.commands import BAD_INPUT, called, output_of, ran, refused
from tests.damaged_files import cut, empty, garble, remove

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STORES = ("histories-0", "counts-0", "related-0")
CSV = "customer_id,item_id,timestamp\n" + "".join(
    f"customer {line % 97},item {line * 7919 % 211},2024-03-{1 + line * 28 // 3000:02}\n" for line in range(3000)
)


@pytest.fixture(scope="module", name="healthy")
def _healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("healthy")
    (directory / "orders.csv").write_text(CSV)
    output_of("replay", directory / "orders.csv", "--state-dir", directory / "state", "--commit-lines", "200")
    return directory


@pytest.fixture(name="state_dir")
def _state_dir(healthy: Path, tmp_path: Path) -> Path:
    shutil.copytree(healthy, tmp_path / "copy")
    return tmp_path / "copy" / "state"


def replayed(state_dir: Path, *options: str) -> list[str | Path]:
    return ["replay", state_dir.parent / "orders.csv", "--state-dir", state_dir, *options]


def exported(state_dir: Path) -> bytes:
    out = state_dir.parent / "lists.jsonl"
    output_of("export", "--state-dir", state_dir, "--out", out)
    return out.read_bytes()


@pytest.mark.parametrize("damage", [cut, garble, empty, remove])
@pytest.mark.parametrize("files", ["*.sst", "CURRENT", "MANIFEST-*"])
@pytest.mark.parametrize("store", STORES)
def test_a_damaged_file_is_an_error_that_names_the_store_and_says_what_to_do(
    state_dir: Path, healthy: Path, store: str, files: str, damage: Callable[[Path], None]
) -> None:
    """Counts must not change silently, and there must be no traceback."""
    damaged = max((state_dir / store).glob(files), key=lambda path: path.stat().st_size)
    damage(damaged)

    if (store, files, damage) == (
        "related-0",
        "MANIFEST-*",
        cut,
    ):  # RocksDB takes it for a shorter history: the lists are old
        output_of(*replayed(state_dir))
        assert exported(state_dir) == exported(healthy / "state")
        return
    messages = [refused("audit", "--state-dir", state_dir)]
    if (store, files) != ("related-0", "*.sst"):  # which a replay of a finished log has no reason to read
        messages.append(refused(*replayed(state_dir)))

    for message in messages:
        assert store in message or (str(state_dir) in message and "holds no state" in message), message
        assert "replay" in message
        assert "free space" not in message


@pytest.mark.parametrize("store", STORES[:2])
@pytest.mark.parametrize("damage", [cut, garble])
def test_a_truncated_write_ahead_log_loses_the_last_commits_or_is_an_error(
    healthy: Path, tmp_path: Path, store: str, damage: Callable[[Path], None]
) -> None:
    """As after a power cut: counting must not continue if one store is behind the others."""
    state_dir = tmp_path / "copy" / "state"
    state_dir.parent.mkdir()
    shutil.copy(healthy / "orders.csv", state_dir.parent)
    crashed = ran(
        *replayed(state_dir, "--commit-lines", "200"),
        before="import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))",
    )
    assert crashed.returncode == BAD_INPUT
    damage(max((state_dir / store).glob("*.log"), key=lambda path: path.stat().st_size))

    result = called(*replayed(state_dir))

    if result.exit_code == 0:
        assert exported(state_dir) == exported(healthy / "state")
    else:
        assert result.exit_code == BAD_INPUT
        assert "lost commits" in result.stderr or "damaged" in result.stderr


@pytest.mark.parametrize("store", STORES[:2])
def test_a_missing_store_is_an_error(state_dir: Path, store: str) -> None:
    """The log would be counted twice into one of the stores, or never into the other."""
    shutil.rmtree(state_dir / store)

    message = refused(*replayed(state_dir, "--pair-window", "100"))

    assert "is at log position 0" in message or "at 0:" in message
    assert "one of them lost commits; restore a snapshot, or delete both and replay" in message


def test_missing_lists_are_written_again(state_dir: Path, healthy: Path) -> None:
    """They can be computed from the counts."""
    shutil.rmtree(state_dir / "related-0")

    out = output_of(*replayed(state_dir))

    assert "211 related lists written" in out
    assert exported(state_dir) == exported(healthy / "state")


def put(path: Path, key: bytes, value: bytes) -> None:
    rocks = Rocks(path)
    batch = WriteBatch(raw_mode=True)
    batch.put(key, value)
    rocks.write(batch)
    rocks.close()


@pytest.mark.parametrize("command", ["related", "replay"])
def test_a_newer_format_is_an_error_that_names_both(state_dir: Path, command: str) -> None:
    """Read as the current format, it would give wrong counts without an error."""
    for store in STORES[:2]:
        put(state_dir / store, b"msettings", json.dumps({"format": 5, "kind": "something new"}).encode())

    message = refused(*(replayed(state_dir) if command == "replay" else ["related", "tea", "--state-dir", state_dir]))

    assert "was written in format 5, this version of alsobought reads format 4" in message


@pytest.mark.parametrize(
    ("key", "value", "store"),
    [
        (b"msettings", b"{", "histories-0"),
        (b"mhistories", b"\x02u", "histories-0"),
        (b"mjournal", b"", "histories-0"),
        (b"h\x00\x00\x00\x00\x00\x00", b"\x07\x00\x00", "histories-0"),
        (b"mcounts", b"\x04i8", "counts-0"),
        (b"mjournal", b"\xff", "counts-0"),
        (b"n\x00\x00\x00\x00", b"\xff\xfe", "counts-0"),
    ],
)
def test_a_garbled_record_is_an_error(state_dir: Path, key: bytes, value: bytes, store: str) -> None:
    """A disk rarely returns other bytes with the right checksum; a bug of ours may well write them."""
    put(state_dir / store, key, value)

    result = called(*replayed(state_dir))

    assert result.exit_code == BAD_INPUT
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--pair-window", "50"), "pair window 100, this run has 50"),
        (("--item-partitions", "3"), "item partitions 1, this run has 3"),
    ],
)
def test_other_settings_are_an_error_that_names_both(state_dir: Path, options: tuple[str, str], what: str) -> None:
    message = refused(*replayed(state_dir, *options))

    assert f"was written with {what}: set it back, or replay the log into a new --state-dir" in message


@pytest.mark.parametrize(
    "command",
    [["related", "tea"], ["customer", "ann"], ["erase", "ann"], ["audit"], ["export", "--out", "lists.jsonl"]],
    ids=lambda command: command[0],
)
def test_a_query_without_state_is_an_error_and_creates_none(tmp_path: Path, command: list[str]) -> None:
    """A query with a mistyped directory must not create an empty state."""
    message = refused(*command, "--state-dir", tmp_path / "nothing")

    assert f"{tmp_path / 'nothing'} holds no state; name the --state-dir of a replay" in message
    assert not (tmp_path / "nothing").exists()


def test_a_state_directory_in_use_can_be_queried_but_not_opened_to_write(state_dir: Path) -> None:
    """Queries take no lock; commands that write do."""
    embedded = Embedded(state_dir)

    replay = ran(*replayed(state_dir))
    erase = ran("erase", "customer 1", "--state-dir", state_dir)
    related = ran("related", "item 7", "--state-dir", state_dir)

    embedded.close()
    for result in (replay, erase):
        assert result.returncode == BAD_INPUT
        assert "is open in another process; stop it, or use another --state-dir" in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
    assert related.returncode == 0, related.stderr


# root may write anywhere; without this capability it has the rights of any user
UNPRIVILEGED = "import ctypes\nctypes.CDLL(None).prctl(24, 1, 0, 0, 0)"


def test_a_read_only_directory_is_an_error(state_dir: Path) -> None:
    """This holds for queries too: RocksDB's binding writes its options file whenever it opens a directory."""
    for path in [state_dir, *state_dir.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    (state_dir.parent / "orders.csv").write_text(CSV + "ann,tea,2024-04-01\n")

    replay = ran(*replayed(state_dir), before=UNPRIVILEGED)
    related = ran("related", "item 7", "--state-dir", state_dir, "--json", before=UNPRIVILEGED)

    for path in [state_dir, *state_dir.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert replay.returncode == BAD_INPUT
    assert "cannot be written to" in " ".join(replay.stderr.split())
    assert "Traceback" not in replay.stderr
    assert related.returncode == BAD_INPUT
    assert "cannot be written to" in " ".join(related.stderr.split())


@pytest.mark.parametrize("limit", [2_000, 1_000_000])
def test_a_replay_stopped_by_a_full_disk_continues_from_its_last_commit(
    grocery_log: Path, grocery_state: Path, tmp_path: Path, limit: int
) -> None:
    """A limit on file sizes makes writes fail in the same way, without a disk to fill."""
    command = ["replay", str(grocery_log), "--state-dir", str(tmp_path / "state")]

    full = ran(*command, before=f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))")

    assert full.returncode == BAD_INPUT
    assert "Traceback" not in full.stderr
    assert "File too large" in " ".join(full.stderr.split())
    output_of(*command)
    right, found = tmp_path / "right.jsonl", tmp_path / "found.jsonl"
    output_of("export", "--state-dir", grocery_state, "--out", right)
    output_of("export", "--state-dir", tmp_path / "state", "--out", found)
    assert found.read_bytes() == right.read_bytes()
    rejected = (grocery_state / "rejected.jsonl").read_text()
    assert (tmp_path / "state" / "rejected.jsonl").read_text() == rejected
