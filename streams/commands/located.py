"""Logs that a command is given, brought to this machine, with a progress bar for what is elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from producers.logs.log_file import LogFile
    from streams.progress import ProgressDisplay


class FetchDisplay:
    """Displays how much of a file that is elsewhere has been fetched; nothing if none is."""

    def __init__(self) -> None:
        self._file: LogFile | None = None
        self._display: ProgressDisplay | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the display, if there is one."""
        if self._display is not None:
            self._display.__exit__(kind, error, trace)
        self._file = self._display = None

    def show(self, file: LogFile, fraction: float, done: int) -> None:
        """Display how much of a file is there.

        Args:
            file: that is fetched.
            fraction: of it, 0 to 1; 0 if nothing tells.
            done: bytes.
        """
        from streams.progress import ProgressDisplay

        if self._display is None or file is not self._file:
            self.__exit__(None, None, None)
            self._file, self._display = file, ProgressDisplay(f"fetch {file.shown}", "bytes").__enter__()
        self._display.update(fraction, done)
        if fraction >= 1:
            self.__exit__(None, None, None)


@contextmanager
def brought(arguments: Iterable[str | Path]) -> Iterator[tuple[list[LogFile], Path]]:
    """The files that arguments name, all of them there, and a scratch directory; both only while it lasts.

    Errors that are raised while it lasts name the files as people do.

    Raises:
        LogError: there is no such file, or it cannot be fetched.
    """
    from producers.logs.locations import located
    from producers.logs.log_file import spoken_of

    with TemporaryDirectory(prefix="alsobought-") as scratch:
        files = located(arguments, Path(scratch))
        with spoken_of(files):
            with FetchDisplay() as display:
                for file in files:
                    if file.fetch is not None:
                        file.fetch(partial(display.show, file), lambda: False)
            yield files, Path(scratch)
