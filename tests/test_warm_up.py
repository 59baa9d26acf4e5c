"""Warming up, whatever a worker that was killed meanwhile has left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.workers.warm_up import warm_up

if TYPE_CHECKING:
    from pathlib import Path


def test_what_a_kill_left_is_no_hindrance_and_gone_afterwards(tmp_path: Path) -> None:
    directory = tmp_path / "warm-up"
    (directory / "histories-0").mkdir(parents=True)
    (directory / "histories-0" / "000004.log").write_bytes(b"cut short")

    warm_up(directory)

    assert not directory.exists()
    assert tmp_path.exists()
