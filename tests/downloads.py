"""Programs of others that the tests run, each got once from its registry into the user's cache."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CACHE = Path.home() / ".cache" / "alsobought"


class DownloadError(Exception):
    """Something cannot be had; the message has what the program says that should get it."""


def cached(name: str, fill: Callable[[Path], object], finish: Callable[[Path], object] = lambda _: None) -> Path:
    """A directory of the cache; several processes may ask for it at the same time.

    Args:
        name: of the directory, with the version of what is in it.
        fill: fills it, the first time, while it is in another place.
        finish: adds what depends on its place, once, afterwards; the directory is whole without it.

    Raises:
        DownloadError: it cannot be filled.
    """
    home = CACHE / name
    if home.exists():
        return home
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        unfinished = Path(directory) / "unfinished"
        unfinished.mkdir()
        fill(unfinished)
        try:
            unfinished.rename(home)
        except OSError:
            if not home.exists():
                raise
            return home  # another process was faster
        finish(home)
    return home


def mvn(*arguments: str | Path) -> None:
    """Run Maven.

    Raises:
        DownloadError: it fails, or there is none.
    """
    run(["mvn", "--batch-mode", "--quiet", *arguments])


def artifact(coordinates: str, directory: Path) -> Path:
    """Copy an artifact of Maven Central, such as `group:name:version`, into a directory.

    Raises:
        DownloadError: it cannot be had.
    """
    before = set(directory.iterdir())
    mvn("dependency:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={directory}")
    [copy] = set(directory.iterdir()) - before
    return copy


def run(command: Sequence[str | Path]) -> None:
    """Run a program that gets something.

    Raises:
        DownloadError: it fails, or there is none.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise DownloadError(f"{error.filename} is not here, which gets what the tests run: install it") from None
    if done.returncode:
        raise DownloadError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
