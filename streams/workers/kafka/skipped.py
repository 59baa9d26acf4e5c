"""Records that a worker skips, since they are none of ours and change no count: counted by topic, and logged."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

MOST_LOGGED = 100


class SkippedRecords:
    """Counts skipped records.

    >>> SkippedRecords().by_topic
    {}
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @property
    def by_topic(self) -> Mapping[str, int]:
        """How many records of each topic were skipped since the start; topics without are left out."""
        return dict(self._counts)

    def add(self, record: Any, reason: object) -> None:  # noqa: ANN401 - the client's records have no types
        """Count a record, and log the first of each topic."""
        topic = record.topic
        self._counts[topic] += 1
        if self._counts[topic] <= MOST_LOGGED:
            logger.warning(
                "record %d of topic %s partition %d is skipped: %s", record.offset, topic, record.partition, reason
            )
        if self._counts[topic] == MOST_LOGGED:
            logger.warning("further records of topic %s that are skipped are counted but not logged", topic)
