"""Warming up in a directory that a killed worker left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.workers.warm_up import warm_up

if TYPE_CHECKING:
    from pathlib import Path


def test_files_of_a_killed_warm_up_are_removed(tmp_path: Path) -> None:
    directory = tmp_path / "warm-up"
    (directory / "histories-0").mkdir(parents=True)
    (directory / "histories-0" / "000004.log").write_bytes(b"truncated")

    warm_up(directory)

    assert not directory.exists()
    assert tmp_path.exists()
