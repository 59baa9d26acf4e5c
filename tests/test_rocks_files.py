"""Directories of RocksDB that lost writes in the middle: RocksDB opens them, and nobody would know."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from state.errors import StateDamaged
from state.rocks import Rocks, WriteBatch
from state.rocks_files import missing_writes, record_ends

ROUNDS, WRITES = 4, 60


def write(rocks: Rocks, number: int, size: int = 300) -> None:
    batch = WriteBatch(raw_mode=True)
    batch.put(b"w%08d" % number, os.urandom(size))
    batch.put(b"last", b"%d" % number)
    rocks.write(batch)


def written(directory: Path) -> Path:
    """A directory whose tables and log were written by a process that was killed."""
    path = directory / "store"
    script = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from tests.test_rocks_files import ROUNDS, Rocks, WRITES, write\n"
        "path = Path(sys.argv[1])\n"
        "rocks = Rocks(path)\n"
        "for part in range(ROUNDS):\n"
        "    for number in range(WRITES):\n"
        "        write(rocks, part * WRITES + number)\n"
        "    if part < ROUNDS - 1:\n"
        "        rocks.checkpoint(path.with_name(f'snapshot {part}'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, path], cwd=Path(__file__).parent.parent, check=False)
    assert result.returncode == -signal.SIGKILL
    return path


def gap(path: Path) -> int:
    """How many writes are missing before the last that is there."""
    rocks = Rocks(path)
    found = {int(key[1:]) for key, _ in rocks.scan(b"w")}
    last = int(rocks.get(b"last") or b"-1")
    rocks.close()
    return len(set(range(last + 1)) - found)


def test_a_manifest_that_lost_its_end_is_damage_at_every_record(tmp_path: Path) -> None:
    """Tables are gone then, but the newest writes are there: a count of both is none that ever was."""
    path = written(tmp_path)
    (manifest,) = path.glob("MANIFEST-*")
    whole = manifest.read_bytes()
    assert missing_writes(path) is None
    refused = 0

    for end in [0, *record_ends(whole)]:
        copy = tmp_path / "copy"
        shutil.copytree(path, copy)
        (copy / manifest.name).write_bytes(whole[:end])
        try:
            assert gap(copy) == 0
        except StateDamaged as error:
            refused += 1
            assert "restore a snapshot, or replay: rm -r" in str(error)  # noqa: PT017 - not every cut is damage
        shutil.rmtree(copy)

    assert refused >= len(record_ends(whole)) - 2  # the last records add nothing that matters


def test_a_manifest_of_the_past_is_damage(tmp_path: Path) -> None:
    """As when a file is put back from a backup while the others stay."""
    path = written(tmp_path)
    (manifest,) = path.glob("MANIFEST-*")
    shutil.copytree(path, tmp_path / "before")
    for part in range(2):
        rocks = Rocks(path)
        for number in range(WRITES):
            write(rocks, (ROUNDS + part) * WRITES + number)
        rocks.checkpoint(tmp_path / f"again {part}")
        write(rocks, (ROUNDS + part + 1) * WRITES)
        del rocks  # as if it had been killed
    for name in (manifest.name, "CURRENT"):
        shutil.copy(tmp_path / "before" / name, path)

    with pytest.raises(StateDamaged, match=r"has lost its end|No such file"):
        Rocks(path)


def test_a_log_that_is_missing_between_others_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path)
    (log,) = path.glob("*.log")
    last = max(path.glob("MANIFEST-*"))
    (path / f"{int(log.stem) + 50:06}.log").write_bytes(log.read_bytes())
    log.unlink()
    assert missing_writes(path) is None  # the same writes, under another number
    last.write_bytes(last.read_bytes()[: record_ends(last.read_bytes())[-4]])

    assert "has lost its end" in str(missing_writes(path))


@pytest.mark.parametrize("seed", range(2))
def test_whoever_was_killed_lost_nothing(tmp_path: Path, seed: int) -> None:
    """However often, while tables are written and merged: no false alarm, or a worker would count from the start."""
    script = (
        "import os, random, sys, signal, threading\n"
        "from pathlib import Path\n"
        "import state.rocks\n"
        "from tests.test_rocks_files import Rocks, write\n"
        "path, seed = Path(sys.argv[1]), int(sys.argv[2])\n"
        "options = state.rocks._options\n"
        "def small(*given):\n"
        "    made = options(*given)\n"
        "    made.set_write_buffer_size(100_000)\n"
        "    return made\n"
        "state.rocks._options = small\n"
        "rocks, chance = Rocks(path), random.Random(seed)\n"
        "number = int(rocks.get(b'last') or b'-1')\n"
        "threading.Timer(chance.uniform(0.01, 0.3), os.kill, [os.getpid(), signal.SIGKILL]).start()\n"
        "while True:\n"
        "    number += 1\n"
        "    write(rocks, number, chance.choice([10, 1000, 20000]))\n"
    )
    path = tmp_path / "store"
    chance = random.Random(seed)  # noqa: S311
    for _ in range(3):
        command = [sys.executable, "-c", script, str(path), str(chance.randrange(1 << 30))]
        result = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, check=False)
        assert result.returncode == -signal.SIGKILL, result.stderr.decode()
        assert missing_writes(path) is None

    assert gap(path) == 0


def test_what_cannot_be_read_is_left_to_rocksdb(tmp_path: Path) -> None:
    path = written(tmp_path)
    (manifest,) = path.glob("MANIFEST-*")
    whole = manifest.read_bytes()
    chance = random.Random(3)  # noqa: S311
    for _ in range(500):
        changed = bytearray(whole)
        for _ in range(chance.randrange(1, 20)):
            changed[chance.randrange(len(whole))] = chance.randrange(256)
        manifest.write_bytes(changed)
        missing_writes(path)
    manifest.unlink()
    assert missing_writes(path) is None


def test_a_reader_keeps_what_the_writer_merges_and_deletes(tmp_path: Path) -> None:
    """A server that reads beside a replay would meet files that are gone, and call the state damaged."""
    writer = Rocks(tmp_path)
    for number in range(40):
        write(writer, number)
    writer.compact()
    reader = Rocks(tmp_path, read_only=True)
    before = set(tmp_path.glob("*.sst"))
    for number in range(40, 80):
        write(writer, number)
    writer.compact()
    assert not before & set(tmp_path.glob("*.sst"))

    assert reader.get(b"last") == b"39"
    assert len(list(reader.scan(b"w"))) == 40
    reader.verify()
    reader.close()
    writer.close()
