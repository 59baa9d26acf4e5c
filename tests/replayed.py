"""Logs counted into a state in this process, and what the state holds then."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from producers.errors import LogError
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.engine.scores import Scoring
from streams.offline.export import export as export_lists
from streams.offline.replay import replay
from tests.streamed import histories, popularity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Replayed(NamedTuple):
    """What became of some replays of a file into one state."""

    facts: dict[str, Any]
    """Histories and popularity, from which all other counts follow."""
    rejected: list[tuple[str, str, str]]
    """Place, reason and record of each rejected line."""
    errors: list[str]
    """Of each replay; "" if there was none."""
    export: bytes = b""
    """All related lists, if they were asked for."""

    @property
    def counts(self) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
        """All that two equal logs have in common."""
        return self.facts, self.rejected


def replayed(
    name: str, contents: Sequence[bytes], options: Mapping[str, Any] | None = None, *, export: bool = False
) -> Replayed:
    """Write each of the contents to one file, and replay it, all into one state.

    Args:
        name: of the file.
        contents: what it holds, one after the other.
        options: attributes of its format that the user names.
        export: whether all related lists are asked for.
    """
    directory = Path(tempfile.mkdtemp(dir=in_memory()))
    try:
        embedded = Embedded(directory / "state", CountingSettings())
        rejects = directory / "rejected.jsonl"
        path = directory / name
        errors = []
        for content in contents:
            path.write_bytes(content)
            errors.append(_error_of(embedded, path, options or {}, rejects))
        facts = {"histories": histories(embedded.histories), **popularity(embedded.counts[0])}
        lists = exported(embedded, directory / "export.jsonl") if export else b""
        embedded.close()
        lines = map(json.loads, rejects.read_text().splitlines() if rejects.exists() else [])
        return Replayed(facts, [(line["place"], line["reason"], line["record"]) for line in lines], errors, lists)
    finally:
        shutil.rmtree(directory)


def _error_of(embedded: Embedded, path: Path, options: Mapping[str, Any], rejects: Path) -> str:
    try:
        replay(embedded, [path], options, commit_lines=5000, rejects=rejects)
    except LogError as error:
        return str(error)
    return ""


def exported(embedded: Embedded, out: Path) -> bytes:
    for _ in export_lists(embedded, out, Scoring()):
        pass
    return out.read_bytes()


def in_memory() -> str | None:
    """A directory in memory, where there is one: these states live for milliseconds."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of its own is made there
