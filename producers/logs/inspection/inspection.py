"""Looking at a log: what it is, how it is to be read, and what only a person can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producers.errors import Undecided
from producers.log_format import LogFormat, with_settings
from producers.logs.columns import FIELDS
from producers.logs.inspection.checks import (
    check_events,
    check_gaps,
    check_identifiers,
    check_missing_columns,
    check_quantities,
)
from producers.logs.inspection.dates import (
    ask_for_year,
    check_notation,
    check_order,
    complete_years,
    fitting_notations,
)
from producers.logs.inspection.findings import Inspection, NoRows
from producers.logs.inspection.profiles import matching_profile, merged
from producers.logs.inspection.roles import filled, find_roles
from producers.logs.inspection.samples import Sample, take_sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from producers.logs.inspection.profiles import Profile
    from producers.logs.inspection.roles import Roles


def inspect(
    path: Path, settings: Mapping[str, Any] | None = None, profile: Profile | None = None, *, whole: bool = False
) -> Inspection:
    r"""Look at a log, at samples of it if it is large.

    Args:
        path: the file.
        settings: attributes of `LogFormat` that are given, and not to be looked for.
        profile: used where `settings` says nothing. Without one, a log is taken for what its header says.
        whole: whether dates with two readings in the samples are looked for in the whole file.

    Raises:
        LogError: it cannot be read, or is no log.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     log = Path(directory, "orders.txt")
    ...     _ = log.write_text("customer_id;item_id;timestamp\nann;tea;31.12.2023\nbob;tea;1.2.2024\n")
    ...     found = inspect(log)
    >>> found.options, found.unconfirmed
    (['--timestamp-format', 'day-first'], False)
    """
    settings = dict(settings or {})
    found = Inspection(path, searched=whole)
    if profile is not None:
        found.profile = profile.name
        settings = merged(profile, settings)
    try:
        sample = _sampled(found, settings)
    except Undecided as question:
        found.question = str(question)
        return found
    found.what, found.complete = sample.what, sample.complete
    found.assumed += sample.assumed
    constants = settings.get("constants", {})
    if profile is None and "columns" not in settings:
        profile = matching_profile(sample.names or list(sample.cells))
        if profile is not None:
            found.profile = profile.name
            found.assumed.append(f"it looks like {profile.title}")
            found.unconfirmed = True
            settings = merged(profile, settings)
            if sample.names:  # which of its lists has the lines, and what is around a record, is known now
                sample = _sampled(found, settings)
    if profile is not None:
        found.options = ["--profile", profile.name]
    wanted = {name: _paths(paths, sample.cells) for name, paths in settings.get("columns", {}).items()}
    if profile is not None:
        wanted = {
            name: paths for name, paths in wanted.items() if name in FIELDS[:3] or set(paths) <= set(sample.cells)
        }
    wanted = {name: (name,) for name in constants if name in FIELDS[:-1]} | wanted
    if settings.get("typed") is False:
        wanted["type"] = ("",)
    undated = complete_years(sample, wanted.get("timestamp", ()), settings.get("start"))
    roles = find_roles(sample.cells, wanted, settings.get("timestamp_format"))
    if roles.columns.get("timestamp", ("",))[0] in sample.times:
        roles.notations = ["iso"]
    if whole and not sample.complete and {"day-first", "month-first"} <= set(roles.notations):
        known = {"constants": constants, "start": settings.get("start")}
        table = LogFormat.from_settings({**sample.settings, **known})
        roles.notations = fitting_notations(path, table, roles.columns["timestamp"], roles.notations)
    ask_for_year(found, roles.columns.get("timestamp", ()), undated)
    decided = _decisions(found, sample, roles, settings)
    found.columns = _described(sample, roles)
    of_profile = {} if profile is None else profile.settings.get("columns", {})
    implied = {name for name, paths in of_profile.items() if settings["columns"].get(name) == paths}
    _set_options(found, roles, settings, implied)
    if found.question is None and not roles.missing and not found.notations:
        unwrapped = {
            name: tuple(sample.wrapped.get(path, path) for path in paths) for name, paths in roles.columns.items()
        }
        columns = {name: paths for name, paths in unwrapped.items() if paths != (name,)}
        attributes = {**sample.settings, **settings, **decided, "columns": columns}
        attributes["typed"] = roles.typed
        used = {path for paths in roles.columns.values() for path in paths}
        attributes["constants"] = {name: value for name, value in constants.items() if name in used}
        found.log_format = with_settings(LogFormat(), attributes)
        check_order(found, sample, roles, settings)
    return found


def _sampled(found: Inspection, settings: Mapping[str, Any]) -> Sample:
    """Some rows of the log, with the columns that have one value in all of them.

    Raises:
        NoRows: there are none.
    """
    sample = take_sample(found.path, settings)
    found.rows = len(next(iter(sample.cells.values()), []))
    if not sample.cells or not found.rows:
        raise NoRows(found.path, list(sample.cells))
    constants = settings.get("constants", {})
    sample.cells |= {name: [value] * found.rows for name, value in constants.items() if name not in sample.cells}
    return sample


def _paths(paths: Sequence[str], cells: Mapping[str, object]) -> tuple[str, ...]:
    """Columns as given, of which "date+time" names two."""
    divided: list[str] = []
    for path in paths:
        divided += [path] if path in cells or "+" not in path else [part.strip() for part in path.split("+")]
    return tuple(divided)


def _decisions(found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that follow from the columns."""
    decided: dict[str, Any] = {}
    for check in (check_missing_columns, check_notation, check_events, check_identifiers, check_quantities, check_gaps):
        check(found, sample, roles, {**decided, **settings}, decided)
    return decided


def _set_options(found: Inspection, roles: Roles, settings: Mapping[str, Any], implied: set[str]) -> None:
    """The options of the command, and whether they must be confirmed.

    Args:
        found: where they go.
        roles: the columns.
        settings: attributes that are given, by a profile or otherwise.
        implied: fields whose columns the profile says.
    """
    typeless = "type=" in found.options or settings.get("typed") is False
    found.options = [option for option in found.options if option != "type="]
    given = settings.get("columns", {})
    profiled = "--profile" in found.options
    mapped = {
        name: paths
        for name, paths in roles.columns.items()
        if paths != (name,) and not (name == "type" and "--purchases" in found.options) and name not in implied
    }
    pairs = [f"{name}={'+'.join(mapped[name])}" for name in FIELDS if name in mapped]
    if typeless:
        pairs.append("type=")
    if pairs:
        place = 2 if profiled else 0
        found.options[place:place] = ["--columns", ",".join(pairs)]
    guessed = [name for name in FIELDS[:3] if name in mapped and name not in roles.certain and name not in given]
    found.unconfirmed |= bool(guessed)


def _described(sample: Sample, roles: Roles) -> list[tuple[str, str, str, str]]:
    by_column = {path: name for name, paths in roles.columns.items() for path in paths}
    rows = []
    for column, cells in sample.cells.items():
        name = by_column.get(column, "")
        rows.append((column, name, roles.reasons.get(name, ""), next(iter(filled(cells)), "")[:40]))
    return rows
