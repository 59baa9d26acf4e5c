"""Replays: what they leave behind, whatever the logs hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producers.orders import Rejection
from streams.offline.replay import write_rejections

if TYPE_CHECKING:
    from pathlib import Path


def test_a_rejects_file_appears_with_the_first_rejection(tmp_path: Path) -> None:
    """An empty one in the current directory would look as if something had gone wrong."""
    rejects, log = tmp_path / "rejected.jsonl", tmp_path / "orders.csv"

    write_rejections(rejects, str(log), [])
    assert not rejects.exists()

    write_rejections(rejects, str(log), [Rejection(7, "item_id is missing", "{}")])
    assert json.loads(rejects.read_text()) == {
        "file": str(log),
        "reason": "item_id is missing",
        "record": "{}",
        "row": 7,
    }
