"""The project's own engine at a cutoff: temporary states into which the log before it is replayed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from evaluation.purchases import count_prefix
from state.settings import CountingSettings
from streams.engine.embedded import Embedded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from producers.log_format import LogFormat


@dataclass(slots=True)
class States:
    """Replays of a log up to a cutoff, one for each pair window. The one with the default pair window is kept.

    Attributes:
        paths: the log files.
        formats: how files are read that are not plain logs.
        cutoff_ms: only orders strictly before it are counted.
        items: only lines of these items are counted.
        seconds: pair window -> seconds that its replay took.
    """

    paths: Sequence[Path]
    formats: Mapping[Path, LogFormat]
    cutoff_ms: int
    items: frozenset[str]
    seconds: dict[int, float] = field(default_factory=dict)
    _shipped: Embedded | None = None
    _directory: TemporaryDirectory[str] | None = None

    @contextmanager
    def counted(self, pair_window: int) -> Iterator[Embedded]:
        """The state with a pair window, deleted afterwards unless it is the default one."""
        if self._shipped is not None and self._shipped.settings.pair_window == pair_window:
            yield self._shipped
            return
        with TemporaryDirectory(prefix="alsobought-") as directory:
            embedded = self._replayed(Path(directory), pair_window)
            yield embedded
            embedded.close()

    @property
    def shipped(self) -> Embedded:
        """The state with the default pair window."""
        if self._shipped is None:
            self._directory = TemporaryDirectory(prefix="alsobought-")
            self._shipped = self._replayed(Path(self._directory.name), CountingSettings().pair_window)
        return self._shipped

    def _replayed(self, directory: Path, pair_window: int) -> Embedded:
        started = time.perf_counter()
        embedded = Embedded(directory, CountingSettings(pair_window=pair_window))
        count_prefix(embedded, self.paths, self.formats, self.cutoff_ms, self.items)
        self.seconds[pair_window] = time.perf_counter() - started
        return embedded

    def close(self) -> None:
        """Delete the states."""
        if self._shipped is not None:
            self._shipped.close()
        if self._directory is not None:
            self._directory.cleanup()
        self._shipped = self._directory = None
