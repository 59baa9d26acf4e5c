"""What the columns of a log hold: events, ids, quantities, gaps; what follows for its format, and what is asked."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from producers.event_types import PURCHASES, event_type
from producers.log_format import FILLED_DOWN, PURCHASE_TEXTS, RETURN_TEXTS
from producers.logs.columns import FIELDS
from producers.logs.inspection.roles import (
    DONE_TEXTS,
    KIND_TEXTS,
    PURCHASE_EVENTS,
    REFUNDED_TEXTS,
    VIEW_TEXTS,
    filled,
    is_filled,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producers.logs.inspection.findings import Inspection
    from producers.logs.inspection.roles import Roles
    from producers.logs.inspection.samples import Sample

BUSY_SHARE = 0.05
BUSY_LINES = 100

_GUEST_IDS = frozenset({"0", "-1", "guest", "anonymous", "unknown", "anon", "cash", "walk-in", "default"})
_LOSSY = re.compile(r"\d(?:\.\d+)?[eE]\+?\d{1,2}")
_LIST_CELL = re.compile(r".*(?:[;|]\s*\w+:|\w+:[^;|]*[;|]|\s*,\s*\w+.*,\s*\w+.*,|^\[.*\]$|;.+;).*", re.DOTALL)


def check_missing_columns(
    found: Inspection, sample: Sample, roles: Roles, _settings: Mapping[str, Any], _decided: dict[str, Any]
) -> None:
    """Whether there is a column for each field that every log needs."""
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


def check_events(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    """What a column that says what happened calls a purchase."""
    column, events = roles.event_column, roles.event_values
    if not roles.typed:
        if "type" in sample.cells and settings.get("typed", True) and "type" not in settings.get("columns", {}):
            found.assumed.append(f"column type holds {', '.join(events[:4])}, not what happened")
            found.options += ["type="]  # joined with the other columns
            found.unconfirmed = True
        return
    if column is None or _check_named_events(column, events, roles, settings, decided):
        return
    if given := settings.get("purchases"):
        roles.columns.setdefault("type", (column,))
        if not words(list(given)) & words(events) and found.complete and column not in settings.get("constants", {}):
            found.question = found.question or (
                f"{found.path}: no line has {column} {' or '.join(given)}; it holds {', '.join(events[:10])}. "
                f"Say which are purchases with --purchases {column}={events[0]}"
            )
        return
    if roles.undone:
        _check_status(found, column, roles, decided)
        return
    known = words(events)
    if not known & VIEW_TEXTS and known <= KIND_TEXTS | PURCHASE_EVENTS:
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
    others = [event for event in events if event not in purchases and not words([event]) & KIND_TEXTS]
    found.assumed.append(f"lines with {column} {', '.join(others[:6])} are no purchases")
    found.unconfirmed = True


def _check_named_events(
    column: str, events: Sequence[str], roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> bool:
    """Whether the column holds an event type that is named, and purchases are plain too if they are counted."""
    counted = settings.get("events", PURCHASES)
    named = {counted, *settings.get("seeds", ())} - {PURCHASES}
    purchases = [event for event in events if words([event]) & PURCHASE_EVENTS]
    if not named & set(map(event_type, events)) or (counted == PURCHASES and not purchases):
        return False
    roles.columns.setdefault("type", (column,))
    if not settings.get("purchases") and not words(purchases) <= PURCHASE_TEXTS:
        returns = [event for event in events if words([event]) & words(list(RETURN_TEXTS))]
        decided["purchases"], decided["returns"] = tuple(purchases), tuple(returns)
    return True


def _check_status(found: Inspection, column: str, roles: Roles, decided: dict[str, Any]) -> None:
    """Which values of a column that says what became of orders are purchases."""
    kept = [value for value in roles.event_values if value not in roles.undone]
    unknown = [value for value in kept if not words([value]) & (DONE_TEXTS | PURCHASE_EVENTS | REFUNDED_TEXTS)]
    roles.columns["type"] = (column,)
    roles.reasons["type"] = f"because it says what became of orders: {', '.join(roles.event_values[:6])}"
    if unknown or not kept:
        purchases = ",".join(value for value in kept if value not in unknown) or "..."
        found.question = found.question or (
            f"{found.path}: which values of {column} are purchases? It holds {', '.join(roles.event_values[:10])}. "
            f"Say so with --purchases '{column}={purchases}', or count all with --columns type="
        )
        return
    decided["purchases"] = tuple(kept)
    found.options += ["--purchases", f"{column}={','.join(kept)}"]
    found.assumed.append(f"lines with {column} {', '.join(roles.undone[:6])} are no purchases")
    found.unconfirmed = True


def check_identifiers(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    """Whether ids are numbers, damaged, or of a guest."""
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


def check_quantities(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    """Decimal marks, units, and quantities below 0."""
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


def check_gaps(
    found: Inspection, sample: Sample, roles: Roles, settings: Mapping[str, Any], decided: dict[str, Any]
) -> None:
    """Lines without customer, and values that hold for the lines below."""
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
            decided["fill_down"] = FILLED_DOWN
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
