"""Looking at a log: what it is, how it is to be read, and what only a person can tell."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from producers.errors import LogError, Undecided
from producers.log_format import RETURN_TEXTS, LogFormat, with_settings
from producers.logs.columns import FIELDS
from producers.logs.inspection.profiles import matching_profile, merged
from producers.logs.inspection.roles import (
    PURCHASE_EVENTS,
    VIEW_TEXTS,
    filled,
    find_roles,
    is_filled,
    words,
)
from producers.logs.inspection.samples import Sample, take_sample
from producers.logs.shaping import as_text, joined
from producers.logs.tables.opening import open_table
from producers.notations import notations_of, read_times, readings, reads_all
from producers.orders import DAY_MS
from producers.timestamps import TimestampReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from producers.logs.inspection.profiles import Profile
    from producers.logs.inspection.roles import Roles

SAMPLE_ROWS = 50_000
RECORDS = 5000
BUSY_SHARE = 0.05
BUSY_LINES = 100

_GUEST_IDS = frozenset({"0", "-1", "guest", "anonymous", "unknown", "anon", "cash", "walk-in", "default"})
_LOSSY = re.compile(r"\d(?:\.\d+)?[eE]\+?\d{1,2}")
_LIST_CELL = re.compile(r".*(?:[;|]\s*\w+:|\w+:[^;|]*[;|]|\s*,\s*\w+.*,\s*\w+.*,|^\[.*\]$|;.+;).*", re.DOTALL)


@dataclass
class Inspection:
    """What was found in a log.

    Attributes:
        path: the file.
        log_format: how it is read; None if only a person can tell.
        what: what the file is, in a few words.
        columns: its columns: name, the field that it is or "", why, and an example.
        assumed: what differs from a plain log, a sentence each.
        warnings: what a person should know before counting.
        question: what only a person can tell.
        options: arguments of `alsobought replay` beside the file and the state directory.
        unconfirmed: whether some option has to be given, since a name or a value might mean something else.
        complete: whether the whole file was looked at.
        rows: that were looked at.
        figures: of these rows, by name: shares from 0 to 1, and counts.
        profile: a profile whose header the log has; "" if there is none.
    """

    path: Path
    log_format: LogFormat | None = None
    what: str = ""
    columns: list[tuple[str, str, str, str]] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    question: str | None = None
    options: list[str] = field(default_factory=list)
    unconfirmed: bool = False
    complete: bool = True
    rows: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    profile: str = ""


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
    found = Inspection(path)
    if profile is not None:
        found.profile = profile.name
        settings = merged(profile, settings)
    try:
        sample = take_sample(path, settings)
    except Undecided as question:
        found.question = str(question)
        return found
    found.what, found.complete = sample.what, sample.complete
    found.assumed += sample.assumed
    found.rows = len(next(iter(sample.cells.values()), []))
    if not sample.cells or not found.rows:
        raise LogError(f"{path} holds no rows below its header")
    if profile is None and "columns" not in settings:
        profile = matching_profile(list(sample.cells))
        if profile is not None:
            found.profile = profile.name
            found.assumed.append(f"it looks like {profile.title}")
            found.unconfirmed = True
            settings = merged(profile, settings)
    if profile is not None:
        found.options = ["--profile", profile.name]
    wanted = {name: _paths(paths, sample.cells) for name, paths in settings.get("columns", {}).items()}
    if profile is not None:
        wanted = {
            name: paths for name, paths in wanted.items() if name in FIELDS[:3] or set(paths) <= set(sample.cells)
        }
    if settings.get("typed") is False:
        wanted["type"] = ("",)
    roles = find_roles(sample.cells, wanted, settings.get("timestamp_format"))
    if roles.columns.get("timestamp", ("",))[0] in sample.times:
        roles.notations = ["iso"]
    if whole and not sample.complete and {"day-first", "month-first"} <= set(roles.notations):
        roles.notations = _notations_of_all(path, sample, roles)
    decided = _decisions(found, sample, roles, settings)
    found.columns = _described(sample, roles)
    _set_options(found, roles, decided, settings)
    if found.question is None and not roles.missing:
        unwrapped = {
            name: tuple(sample.wrapped.get(path, path) for path in paths) for name, paths in roles.columns.items()
        }
        columns = {name: paths for name, paths in unwrapped.items() if paths != (name,)}
        attributes = {**sample.settings, **settings, **decided, "columns": columns}
        attributes["typed"] = roles.typed
        found.log_format = with_settings(LogFormat(), attributes)
        _look_at_order(found, sample, roles, settings)
    return found


def _paths(paths: Sequence[str], cells: Mapping[str, object]) -> tuple[str, ...]:
    """Columns as given, of which "date+time" names two."""
    divided: list[str] = []
    for path in paths:
        divided += [path] if path in cells or "+" not in path else [part.strip() for part in path.split("+")]
    return tuple(divided)


def _decisions(found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes that follow from the columns."""
    decided: dict[str, Any] = {}
    for check in (_missing_columns, _notation, _events, _identifiers, _quantities, _gaps):
        check(found, sample, roles, {**decided, **settings}, decided)
    return decided


def _missing_columns(
    found: Inspection, sample: Sample, roles: Roles, _settings: Mapping[str, Any], _decided: dict[str, Any]
) -> None:
    if not roles.missing:
        return
    names = ", ".join(sample.cells)
    guess = ",".join(
        f"{name}={'+'.join(roles.columns[name]) if name in roles.columns else '...'}" for name in FIELDS[:3]
    )
    found.question = (
        f"{found.path}: which of its columns is {' and which '.join(roles.missing)}? It has: {names}. "
        f"Say so with --columns {guess}"
    )


def _notation(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    if "timestamp" not in roles.columns or "timestamp_format" in settings:
        return
    paths = roles.columns["timestamp"]
    if any(path not in sample.cells for path in paths):
        return
    if len(paths) == 1:
        texts = filled(sample.cells[paths[0]])
    else:
        rows = [" ".join(filled(cells)) for cells in zip(*(sample.cells[path] for path in paths), strict=True)]
        texts = [row for row in rows if row]
    notations = roles.notations or _majority(texts)
    if {"day-first", "month-first"} <= set(notations):
        example = next((text for text in texts if len(set(readings(text, ["day-first", "month-first"]))) > 1), texts[0])
        day, month = readings(example, ["day-first", "month-first"])
        found.question = found.question or (
            f"{found.path}: is '{example}' {day} (--timestamp-format day-first) "
            f"or {month} (--timestamp-format month-first)?"
        )
        return
    if not notations:
        example = texts[0] if texts else ""
        days = all(re.fullmatch(r"\d{1,5}(\.0)?( .*)?", text) for text in texts[:1000])
        found.question = found.question or (
            f"{found.path}: '{example}' in {' and '.join(paths)} is no date that is known: "
            + (
                "if it counts days, say from which: --timestamp-format days --start 2020-01-01"
                if days
                else "say how it is written, such as --timestamp-format %d/%m/%Y, or name another column with --columns"
            )
        )
        return
    decided["timestamp_format"] = notations[0]
    if notations[0] != "iso":
        example = texts[0]
        times = read_times(pa.array([example]), notations[0]).time.astype("datetime64[ms]").astype("datetime64[s]")
        found.assumed.append(f"'{example}' is {str(times[0]).replace('T00:00:00', '')} ({notations[0]})")
        found.options += ["--timestamp-format", notations[0]]


def _notations_of_all(path: Path, sample: Sample, roles: Roles) -> list[str]:
    """The notations that fit all of a file, of those that fit a sample."""
    paths = roles.columns["timestamp"]
    left = list(roles.notations)
    for batch in open_table(path, LogFormat.from_settings(sample.settings)).batches(list(paths)):
        texts = as_text(joined([batch.columns[column] for column in paths])).drop_null()
        fitting = [name for name in left if reads_all(texts, name)]
        left = fitting or left  # a line that fits none is rejected
        if len(left) < 2:
            break
    return left


def _majority(texts: Sequence[str]) -> list[str]:
    """The notations of most texts, where some are in none."""
    if len(texts) < 2:
        return []
    counted: Counter[str] = Counter()
    some = list(dict.fromkeys(texts))[:1000]
    for text in some:
        counted.update(notations_of([text]))
    often = [name for name, count in counted.most_common() if count > 0.5 * len(some)]
    best = counted.most_common(1)[0][1] if often else 0
    return [name for name in often if counted[name] == best]


def _events(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    column, events = roles.event_column, roles.event_values
    if not roles.typed:
        if "type" in sample.cells and settings.get("typed", True) and "type" not in settings.get("columns", {}):
            found.assumed.append(f"column type holds {', '.join(events[:4])}, not what happened")
            found.options += ["type="]  # joined with the other columns
            found.unconfirmed = True
        return
    if column is None:
        return
    if given := settings.get("purchases"):
        roles.columns.setdefault("type", (column,))
        if not words(list(given)) & words(events) and found.complete:
            found.question = found.question or (
                f"{found.path}: no line has {column} {' or '.join(given)}; it holds {', '.join(events[:10])}. "
                f"Say which are purchases with --purchases {column}={events[0]}"
            )
        return
    known = words(events)
    if not known & VIEW_TEXTS and known <= words(list(RETURN_TEXTS)) | PURCHASE_EVENTS:
        if column != "type":
            roles.columns.setdefault("type", (column,))
            roles.reasons.setdefault("type", "because it says purchase or return")
        return
    purchases = [event for event in events if words([event]) & PURCHASE_EVENTS]
    returns = [event for event in events if words([event]) & words(list(RETURN_TEXTS))]
    roles.columns["type"] = (column,)
    roles.reasons["type"] = f"because it says what happened: {', '.join(events[:6])}"
    if not purchases:
        found.question = found.question or (
            f"{found.path}: which values of {column} are purchases? It holds {', '.join(events[:10])}. "
            f"Say so with --purchases {column}={events[0]}"
        )
        return
    decided["purchases"], decided["returns"] = tuple(purchases), tuple(returns)
    found.options += ["--purchases", f"{column}={','.join(purchases)}"]
    if returns:
        found.options += ["--returns", ",".join(returns)]
    others = [event for event in events if event not in purchases and event not in returns]
    found.assumed.append(f"lines with {column} {', '.join(others[:6])} are no purchases")
    found.unconfirmed = True


def _identifiers(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    numbers = []
    for name in ("customer_id", "item_id", "order_id"):
        cells = [cell for path in roles.columns.get(name, ()) for cell in filled(sample.cells.get(path, []))]
        if not cells:
            continue
        if all(re.fullmatch(r"-?\d+(?:\.0+)?", cell) for cell in cells) and any("." in cell for cell in cells):
            numbers.append(name)
        lossy = next((cell for cell in cells if _LOSSY.fullmatch(cell)), None)
        if lossy is not None:
            found.warnings.append(
                f"{name} holds '{lossy}', which a spreadsheet has rounded: such lines are rejected; "
                "export the column as text"
            )
        if name == "item_id":
            _look_at_items(found, roles.columns[name][0], cells, settings)
    if numbers and "number_columns" not in settings:
        decided["number_columns"] = tuple(numbers)
    customers = filled(sample.cells.get(roles.columns.get("customer_id", ("",))[0], []))
    if customers:
        busiest, count = Counter(customers).most_common(1)[0]
        share = count / len(customers)
        found.figures["busiest_customer_share"] = share
        if (len(customers) >= BUSY_LINES and share > BUSY_SHARE) or (busiest.lower() in _GUEST_IDS and count > 1):
            found.warnings.append(
                f"customer '{busiest}' has {share:.0%} of the lines: if these are guests, leave them out with "
                f"--missing {busiest}"
            )


def _look_at_items(found: Inspection, column: str, cells: Sequence[str], settings: Mapping[str, Any]) -> None:
    long = [cell for cell in cells if len(cell) > 30 and _LIST_CELL.fullmatch(cell)]
    if len(long) > 0.3 * len(cells) and not settings.get("item_pattern"):
        found.question = found.question or (
            f"{found.path}: {column} seems to hold lists of items, such as '{long[0][:80]}'; "
            "export a line for each item, or name a profile that reads such cells (--profile)"
        )
    elif len(cells) > BUSY_LINES and len(set(cells)) > 0.95 * len(cells) and sum(map(len, cells)) > 40 * len(cells):
        found.warnings.append(f"{column} holds long texts, nearly all different: are they ids of items?")


def _quantities(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    cells = filled(sample.cells.get(roles.columns.get("quantity", ("",))[0], []))
    if not cells:
        return
    commas = [cell for cell in cells if re.fullmatch(r"[-+]?\d+(?:\.\d{3})*,\d+(?:\s*\D+)?", cell)]
    points = [cell for cell in cells if re.fullmatch(r"[-+]?\d+\.\d+(?:\s*\D+)?", cell)]
    if commas and not points and "decimal_mark" not in settings:
        decided["decimal_mark"] = ","
        found.assumed.append(f"a comma is the decimal mark, as in {commas[0]}")
    negative = [cell for cell in cells if cell.startswith("-")]
    if negative and "negative_is_return" not in settings and roles.event_column is None:
        decided["negative_is_return"] = True
        found.options.append("--negative-is-return")
        found.assumed.append(f"a quantity below 0, as {negative[0]}, is a return")
        found.unconfirmed = True
    units = Counter(match[1] for cell in cells if (match := re.fullmatch(r"[-+\d.,]+\s*([A-Za-z]{1,8}\.?)", cell)))
    if units and "quantity_units" not in settings and sum(units.values()) > 0.5 * len(cells):
        decided["quantity_units"] = tuple(units)
        found.options += ["--quantity-units", ",".join(units)]
        found.assumed.append(f"quantities are in {', '.join(units)}")
        found.unconfirmed = True


def _gaps(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    if roles.missing:
        return
    extra = {text.lower() for text in settings.get("missing", ())}

    def there(name: str) -> list[bool]:
        columns = [sample.cells.get(path, [None] * found.rows) for path in roles.columns[name]]
        known = [[is_filled(cell) and (not extra or cell not in extra) for cell in cells] for cells in columns]
        return known[0] if len(known) == 1 else [any(row) for row in zip(*known, strict=True)]

    customers, times, items = there("customer_id"), there("timestamp"), there("item_id")
    absent = [not customer for customer in customers]
    found.figures["without_customer_share"] = sum(absent) / max(found.rows, 1)
    lines = zip(
        *(sample.cells[path] for paths in roles.columns.values() for path in paths if path in sample.cells), strict=True
    )
    found.figures["duplicate_share"] = 1 - len(set(lines)) / max(found.rows, 1)
    if not any(absent):
        return
    below = [row for row, gone in enumerate(absent) if gone and items[row]]
    if below and below[0] > 0 and "fill_down" not in settings:
        both = sum(not times[row] for row in below)
        orders = roles.columns.get("order_id")
        cells = sample.cells.get(orders[0]) if orders else None
        same = sum(cells is None or not filled([cells[row]]) or cells[row] == cells[row - 1] for row in below)
        if both > 0.9 * len(below) and same > 0.9 * len(below):
            decided["fill_down"] = ("customer_id", "timestamp", "order_id")
            found.options.append("--fill-down")
            found.assumed.append("customer and time stand on an order's first line only, and hold for the lines below")
            found.unconfirmed = True
            return
    share = found.figures["without_customer_share"]
    if share:
        advice = (
            "; count each such order as a customer of its own with --guest order" if "order_id" in roles.columns else ""
        )
        found.warnings.append(f"{share:.0%} of the lines name no customer and are not counted{advice}")


def _set_options(found: Inspection, roles: Roles, decided: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """The options of the command, and whether they must be confirmed."""
    del decided
    typeless = "type=" in found.options or settings.get("typed") is False
    found.options = [option for option in found.options if option != "type="]
    given = settings.get("columns", {})
    profiled = "--profile" in found.options
    mapped = {
        name: paths
        for name, paths in roles.columns.items()
        if paths != (name,)
        and not (name == "type" and "--purchases" in found.options)
        and not (profiled and name in given)
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


def _look_at_order(found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any]) -> None:
    """Whether the sample is in order of time, to a day."""
    log_format = found.log_format
    if log_format is None or "order" in settings:
        return
    columns = [sample.cells.get(path, []) for path in roles.columns["timestamp"]]
    if len(columns) == 1:
        texts = pa.array([cell.strip() if cell else None for cell in columns[0]], pa.string())
    else:
        texts = pa.array([" ".join(filled(cells)) or None for cells in zip(*columns, strict=True)], pa.string())
    if log_format.timestamp_format == "iso":
        times, readable = TimestampReader().read_column(texts)
    else:
        times, readable, _ = read_times(texts, log_format.timestamp_format, "UTC", log_format.start)
    times = times[readable]
    if len(times) < 2:
        return
    behind = np.maximum.accumulate(times) - times
    found.figures["out_of_order_share"] = float((behind > DAY_MS).mean())
    if (behind > DAY_MS).any():
        newest_first = bool((np.diff(times) <= 0).all())
        found.assumed.append("the log stands newest first" if newest_first else "the log is not in order of time")
        found.options.append("--sort")
