"""What a process writes about customers, no other user of the machine can read."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from state.directory import StateDirectory
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from tests.commands import ran

if TYPE_CHECKING:
    from pathlib import Path

OTHERS = 0o077
CSV = "customer_id,item_id,timestamp,quantity\nann,tea,2024-01-01,1\nann,milk,2024-01-02,0\nbob,tea,2024-01-02,1\n"


@pytest.fixture(autouse=True)
def usual_mask() -> None:
    """Most machines let everyone read what anyone writes."""
    os.umask(0o022)


def open_to_others(*paths: Path) -> list[Path]:
    """Those that others may read."""
    every = [path for one in paths for path in (one, *one.rglob("*"))]
    return [path for path in every if path.exists() and stat.S_IMODE(path.stat().st_mode) & OTHERS]


def test_no_other_user_can_read_a_state(tmp_path: Path) -> None:
    """Not even the files that RocksDB's own threads write later."""
    (tmp_path / "orders.csv").write_text(CSV)
    result = ran("replay", tmp_path / "orders.csv", "--state-dir", tmp_path / "state")

    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "state").rglob("*"))) > 10
    assert open_to_others(tmp_path / "state") == []


def test_no_other_user_can_read_rejected_lines(tmp_path: Path) -> None:
    """They are whole records, with the customer; a file of an earlier version is closed to others too."""
    rejects = tmp_path / "rejected.jsonl"
    rejects.write_text("")
    rejects.chmod(0o644)
    (tmp_path / "orders.csv").write_text(CSV)
    result = ran("replay", tmp_path / "orders.csv", "--state-dir", tmp_path / "state", "--rejects", rejects)

    assert result.returncode == 0, result.stderr
    assert "milk" in rejects.read_text()
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600


def test_a_state_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    store = tmp_path / "live" / "histories-0"
    store.mkdir(parents=True, mode=0o755)

    with StateDirectory(tmp_path, "live") as directory:
        Embedded(directory.path, CountingSettings()).close()

    assert open_to_others(tmp_path / "live") == []


def test_exports_stay_as_the_user_has_it(tmp_path: Path) -> None:
    """Lists name nobody: others, such as a web server, may be meant to read them."""
    (tmp_path / "orders.csv").write_text(CSV)
    ran("replay", tmp_path / "orders.csv", "--state-dir", tmp_path / "state")
    result = ran("export", "--state-dir", tmp_path / "state", "--out", tmp_path / "related.jsonl")

    assert result.returncode == 0, result.stderr
    assert stat.S_IMODE((tmp_path / "related.jsonl").stat().st_mode) == 0o644
