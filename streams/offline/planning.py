"""Several logs before the first is counted: where they are, how each is read, and whether they follow one another."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

from producers.logs.locations import located
from producers.logs.log_file import as_spoken, spoken_of
from producers.logs.readable import Span, check_sequence
from producers.logs.settling import Settler
from streams.offline.known_logs import known_logs
from streams.offline.log_identity import is_unchanged, new_name, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from producers.logs.inspection.profiles import Profile
    from producers.logs.log_file import LogFile
    from state.history_store import HistoryStore
    from streams.offline.known_logs import Planned

SCRATCH_PREFIX = ".replay-"


class Plans:
    """The logs of one call.

    Args:
        histories: of the state that they are counted into.
        settings: attributes of the files' format that the user has named.
        profile: a profile that they are read by.
        latest_ms: how late an order can be, of rows that were not seen before.
        scratch: a directory for what is fetched and sorted.
        another: whether a file that differs from what was counted at its path is another log.
    """

    def __init__(
        self,
        histories: HistoryStore,
        settings: Mapping[str, Any],
        profile: Profile | None,
        latest_ms: int,
        scratch: Path,
        *,
        another: bool,
    ) -> None:
        self._histories = histories
        self._settings = settings
        self._profile = profile
        self._latest_ms = latest_ms
        self._scratch = scratch
        self._another = another
        self._plans: list[tuple[LogFile, Planned]] = []

    def __len__(self) -> int:
        return len(self._plans)

    def make(
        self,
        arguments: Iterable[str | Path],
        on_fetch: Callable[[LogFile, float, int], None],
        stop: Callable[[], bool],
    ) -> None:
        """Find the files, fetch those that are elsewhere, and look at all of them.

        Args:
            arguments: as `producers.logs.locations.located` takes them.
            on_fetch: told which file is fetched, how much of it, 0 to 1, and how many bytes.
            stop: asked while they are fetched whether to stop.

        Raises:
            LogError: a file cannot be read, is not what was counted of it, or is not in order with the others.
            Stopped: somebody asked to stop.
        """
        files = located(arguments, self._scratch, stop)
        self._settler = Settler(self._settings, self._profile, files)
        known = known_logs(self._histories.documents).values()
        with spoken_of(files):
            for file in files:
                if file.fetch is not None and not any(is_unchanged(file, one) for one in known):
                    file.fetch(partial(on_fetch, file), stop)
            for place, file in enumerate(files):
                planned = self._plan(file, place)
                if planned is not None:
                    self._plans.append((file, planned))
            self._settler.check_empty()
            if self._settings.get("order") != "as-it-stands":
                check_sequence(_span(one) for _, one in self._plans if one.is_new and not one.is_sorted)

    def in_turn(self) -> Iterator[list[Planned]]:
        """The logs in the order in which they are counted, those that are sorted together.

        What is yielded is to be counted before more is taken.
        """
        together = self._together()
        firsts: set[str] = set()
        before: list[Planned] = []
        for place, (file, planned) in enumerate(self._plans):
            if place in together and place != together[0]:
                continue
            group = [self._plans[one] for one in together] if place in together else [(file, planned)]
            if len(group) == 1 and planned.first and planned.first in firsts:
                group = [(file, self._plan(file, place) or planned)]  # it may be one of the files before it
            for _, one in group:
                if one.is_new and (not one.first or one.first not in firsts):
                    one.warn_of_overlap(other.known for other in before if other.is_new)
            firsts |= {one.first for _, one in group}
            before += [one for _, one in group]
            yield [self._named(file, one, number) for number, (file, one) in enumerate(group)]

    def _together(self) -> list[int]:
        """Places of the logs that are read as one: sorted ones, but none that may be another one of them, grown."""
        found: list[int] = []
        names: set[str] = set()
        for place, (_, one) in enumerate(self._plans):
            if not one.is_sorted or (one.name and one.name in names):
                continue
            if any(self._plans[other][1].shares_rows(one) for other in found):
                continue
            found.append(place)
            names.add(one.name)
        return found if len(found) > 1 else []

    def _named(self, file: LogFile, one: Planned, number: int) -> Planned:
        """The log with a name by which the state knows it; `number` logs that are not counted yet have one already."""
        one.name = one.name or new_name(self._histories.documents, file, one.first, number)
        one.assumed = [as_spoken(text, [file]) for text in one.assumed]
        one.warnings = [as_spoken(text, [file]) for text in one.warnings]
        return one

    def spoken_of(self) -> AbstractContextManager[None]:
        """While it lasts, errors name the files as people do."""
        return spoken_of([file for file, _ in self._plans])

    def _plan(self, file: LogFile, place: int) -> Planned | None:
        directory = self._scratch / str(place)
        directory.mkdir(exist_ok=True)
        known = self._histories.documents
        return plan(file, self._settings, known, self._latest_ms, directory, self._settler, another=self._another)


def _span(planned: Planned) -> Span:
    return Span(planned.path, planned.known.oldest_ms, planned.known.newest_ms)


def clear_scratch(directory: Path) -> None:
    """Remove what a replay that was killed has left in a state directory, which nobody else has open."""
    for left in directory.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)
