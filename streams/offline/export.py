"""Every item's related list in one file, by rising item id: equal counts give equal bytes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from state.related_store import RelatedStore
from streams.engine.documents import as_of, related_list, timestamp_text
from streams.engine.embedded import publish_lists
from streams.engine.ranking import related_items
from streams.engine.scores import Scoring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from state.count_store import CountStore
    from state.related_store import StoredList
    from streams.engine.embedded import Embedded

_CHUNK = 2048
_ENTRY = pa.struct(
    [
        ("item_id", pa.string()),
        ("score", pa.float64()),
        ("bought_together", pa.float64()),
        ("expected", pa.float64()),
        ("trend", pa.float64()),
    ]
)
_SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("buyers", pa.int64()),
        ("purchases", pa.int64()),
        ("score", pa.string()),
        ("related", pa.list_(_ENTRY)),
    ]
)

_REPEATED = ["score", "related.list.element.item_id"]
"""Columns worth a dictionary: floats hardly ever come twice."""


def export(embedded: Embedded, out: Path, scoring: Scoring) -> Iterator[tuple[int, int]]:
    """Write every list to `out`, JSON lines or Parquet by its ending; yields how many are done, of how many.

    The file appears whole or not at all.

    Args:
        embedded: the counts.
        out: the file; its name ends in one of ENDINGS.
        scoring: what to rank by.
    """
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as directory:
        sources: list[RelatedStore] = []
        total = sum(_bought(counts).sum() for counts in embedded.counts)
        ranked = 0
        for counts, published in zip(embedded.counts, embedded.related, strict=True):
            stored = scoring == Scoring() and published.score == scoring.score
            if stored and published.exact_as_of == counts.purchases_offset_sum:
                sources.append(published)
                continue
            sources.append(RelatedStore(Path(directory) / f"related-{counts.partition}", memory=counts.memory))
            for done in publish_lists(counts, sources[-1], scoring):
                ranked += done
                yield ranked // 2, total
        ordered = sorted(
            (counts.names.text(number), counts.partition, number)
            for counts in embedded.counts
            for number in np.flatnonzero(_bought(counts)).tolist()
        )
        part = Path(directory) / out.name
        with _WRITERS[out.suffix](part, embedded, scoring.score) as writer:
            for first in range(0, len(ordered), _CHUNK):
                chunk = ordered[first : first + _CHUNK]
                writer.write(chunk, _lists(sources, chunk))
                yield min(total, ranked // 2 + first + len(chunk)), total
        for source, published in zip(sources, embedded.related, strict=True):
            if source is not published:
                source.close()
        part.replace(out)


def _bought(counts: CountStore) -> Any:  # noqa: ANN401 - (items,) bool
    """Which of a partition's items were ever bought."""
    _, purchases = counts.popularity.totals()
    known = len(counts.names)
    return counts.owned[:known] & (purchases[:known] > 0)


def _lists(sources: list[RelatedStore], items: list[tuple[str, int, int]]) -> list[StoredList]:
    """The lists of items, each given as id, partition and number."""
    lists = {}
    for partition, source in enumerate(sources):
        numbers = [number for _, owner, number in items if owner == partition]
        for number, stored in zip(numbers, source.get_many(numbers), strict=True):
            if stored is None:
                raise KeyError(number)  # every item ever bought has a list, if an empty one
            lists[partition, number] = stored
    return [lists[partition, number] for _, partition, number in items]


class _JsonLines:
    """A document per line, as `alsobought related --json` prints it."""

    def __init__(self, path: Path, embedded: Embedded, score: str) -> None:
        self._file = path.open("wb")
        self._counts = embedded.counts
        self._score = score

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, items: list[tuple[str, int, int]], lists: list[StoredList]) -> None:
        lines = []
        for (_, partition, number), stored in zip(items, lists, strict=True):
            counts = self._counts[partition]
            entries = related_items(counts.names, *stored)
            lines.append(msgspec.json.encode(related_list(counts, number, self._score, entries, as_of(counts))))
        self._file.write(b"\n".join(lines) + b"\n")


class _Parquet:
    """A row per item, its list a column of structs; the log prefix is in the file's metadata."""

    def __init__(self, path: Path, embedded: Embedded, score: str) -> None:
        self._counts = embedded.counts
        self._score = score
        self._names = [pa.array(counts.names.every, pa.string()) for counts in embedded.counts]
        self._totals = [counts.popularity.totals() for counts in embedded.counts]
        newest = timestamp_text(embedded.counts[0].newest) or ""
        metadata = {"as_of_timestamp": newest, "as_of_lines": str(embedded.counts[0].lines)}
        self._file = pq.ParquetWriter(
            path, _SCHEMA.with_metadata(metadata), compression="zstd", use_dictionary=_REPEATED, write_statistics=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, items: list[tuple[str, int, int]], lists: list[StoredList]) -> None:
        lengths = [len(stored.item) for stored in lists]
        offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
        owner = np.repeat([partition for _, partition, _ in items], lengths)
        others = np.concatenate([stored.item for stored in lists])
        ids = np.empty(len(others), object)
        for partition, names in enumerate(self._names):
            here = owner == partition
            ids[here] = names.take(pa.array(others[here])).to_numpy(zero_copy_only=False)
        columns = [pa.array(ids, pa.string())]
        columns += [pa.array(np.concatenate([stored[place] for stored in lists])) for place in range(1, 5)]
        related = pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=list(_ENTRY)))
        totals = [[int(total[number]) for total in self._totals[partition]] for _, partition, number in items]
        self._file.write_batch(
            pa.record_batch(
                [
                    pa.array([item_id for item_id, _, _ in items]),
                    pa.array([buyers for buyers, _ in totals]),
                    pa.array([purchases for _, purchases in totals]),
                    pa.array([self._score] * len(items)),
                    related,
                ],
                schema=_SCHEMA,
            )
        )


_WRITERS: dict[str, type[_JsonLines | _Parquet]] = {".jsonl": _JsonLines, ".ndjson": _JsonLines, ".parquet": _Parquet}
ENDINGS = tuple(_WRITERS)
