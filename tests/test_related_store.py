"""Published lists in their store: which score they are ranked by."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from state.related_store import RelatedStore, StoredList

if TYPE_CHECKING:
    from pathlib import Path

LIST = StoredList(np.array([2], np.uint32), *np.ones((4, 1)))


def test_lists_by_another_score_are_forgotten_for_good(tmp_path: Path) -> None:
    """A list that stayed would be taken for one by the new score, and never be published again."""
    with closing(RelatedStore(tmp_path / "related")) as store:
        store.related_items_offset = 7
        store.write([(1, LIST), (2, LIST)], exact_as_of=3)
        assert store.score == "blend"

        store.restart("lift")

    with closing(RelatedStore(tmp_path / "related")) as store:
        assert store.score == "lift"
        assert list(store.every()) == []
        assert store.exact_as_of == -1
        assert store.related_items_offset == 7
