"""The outcome of one system at one cutoff, and the directory that stores outcomes until all are there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.protocol import day_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from evaluation.protocol import Protocol

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One system at one cutoff.

    Attributes:
        customers: (v,) numbers, in the log, of the eligible customers with history.
        held: (v,) how many items each holds.
        hit, recall, ndcg: (v,) their metrics.
        cold_hit, cold_recall, cold_ndcg: (w,) metrics of the eligible customers without history.
        popularity: (v,) mean rank by purchases of the first recommendations, as a share of the universe: 0 is the top.
        coverage: share of the universe that is among anyone's first recommendations.
        build_seconds: time to fit the system.
        serve_seconds: time to serve all the customers.
        build_lookups: pairs of customers compared to fit the system.
        serve_lookups: customers looked up for each visitor.
    """

    customers: npt.NDArray[np.int64]
    held: npt.NDArray[np.int64]
    hit: Floats
    recall: Floats
    ndcg: Floats
    cold_hit: Floats
    cold_recall: Floats
    cold_ndcg: Floats
    popularity: Floats
    coverage: float
    build_seconds: float
    serve_seconds: float
    build_lookups: int
    serve_lookups: int


class Outcomes:
    """Outcomes in a directory, from which an interrupted evaluation continues.

    Args:
        directory: created if missing.
        protocol: of the evaluation.
        logs: what tells the log from others.

    Raises:
        EvaluationError: the directory holds outcomes of another protocol or log.
    """

    def __init__(self, directory: Path, protocol: Protocol, logs: Sequence[str]) -> None:
        self._directory = directory / "outcomes"
        self._directory.mkdir(parents=True, exist_ok=True)
        path = directory / "protocol.json"
        expected: dict[str, Any] = {**asdict(protocol), "logs": list(logs)}
        if path.exists():
            found = json.loads(path.read_text())
            if differing := [name for name, value in expected.items() if found.get(name) != value]:
                changes = "; ".join(f"{name} {found.get(name)}, now {expected[name]}" for name in differing)
                raise EvaluationError(
                    f"{directory} holds outcomes with {changes}: set it back to add systems to them, "
                    "or choose another --out"
                )
        else:
            path.write_text(json.dumps(expected, indent=2) + "\n")

    def _path(self, cutoff_ms: int, system: str) -> Path:
        return self._directory / f"{day_text(cutoff_ms)}-{system}.npz"

    def load(self, cutoff_ms: int, system: str) -> Outcome | None:
        """The stored outcome of a system at a cutoff, or None."""
        path = self._path(cutoff_ms, system)
        if not path.exists():
            return None
        with np.load(path) as arrays:
            fields = {name: arrays[name] if arrays[name].ndim else arrays[name].item() for name in arrays.files}
        return Outcome(**fields)

    def save(self, cutoff_ms: int, system: str, outcome: Outcome) -> None:
        """Store an outcome, atomically."""
        path = self._path(cutoff_ms, system)
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:
            arrays: dict[str, Any] = {name: np.asarray(value) for name, value in asdict(outcome).items()}
            np.savez_compressed(file, **arrays)
        unfinished.rename(path)
