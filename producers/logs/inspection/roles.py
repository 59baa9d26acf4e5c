"""Which column of a log is which field: by its name and by what it holds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from producers.log_format import MISSING_TEXTS, PURCHASE_TEXTS, RETURN_TEXTS
from producers.logs.columns import FIELDS, REQUIRED
from producers.notations import notations_of, usual_notations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMES: dict[str, list[str]] = {
    "customer_id": """
        customerid customer customerno customernumber customerkey customercode custid custno cust userid user memberid
        member visitorid visitor clientid client shopperid shopper buyerid buyer accountid account accountno
        householdid householdkey household reviewerid msno uid anonymousid userpseudoid buyeruserid buyerusername
        cardid loyaltycard customeremail buyeremail email emailaddress billingemail username
    """.split(),  # noqa: SIM905  a list would take a line for each
    "item_id": """
        itemid item itemno itemnumber itemcode productid product productno productcode productkey sku lineitemsku
        variantsku productsku itemsku stockcode stockid articleid article articleno asin parentasin movieid bookid
        trackid songid artistid isbn ean gtin upc contentid targetentityid iid plu material
        lineitemname productname itemname title description
    """.split(),  # noqa: SIM905
    "timestamp": """
        timestamp time datetime date dt ds ts tdat orderdate ordertime orderdatetime orderedat invoicedate purchasedate
        purchasedat boughtat createdat createdon created datecreated createddate transactiondate transactiontime
        transactiontimestamp transactiondt transdate saledate salesdate eventtime eventtimestamp eventdate
        unixreviewtime reviewtime placedat paidat processedat when day datum orderpurchasetimestamp
    """.split(),  # noqa: SIM905
    "quantity": """
        quantity qty units count itemquantity productquantity lineitemquantity quantitypurchased quantityordered
        orderedqty qtyordered orderquantity unitssold pieces menge
    """.split(),  # noqa: SIM905
    "order_id": """
        orderid order orderno ordernumber ordername orderkey invoice invoiceid invoiceno invoicenumber basketid basket
        transactionid transaction transactionno receiptid receipt receiptno cartid checkoutid saleid saleno purchaseid
        salesrecordnumber ordernr bestellnummer
    """.split(),  # noqa: SIM905
}
"""What shops, stores and data sets call the fields, without spaces and in lower case, the likeliest first."""

EVENT_NAMES = frozenset(
    """
    event eventname eventtype eventcategory action actiontype behavior behaviortype behaviour behaviourtype activity
    activitytype interaction interactiontype feedbacktype type
    """.split()  # noqa: SIM905
)
VIEW_TEXTS = frozenset(
    """
    view pageview pv impression click detail productview productviewed viewitem viewcontent addtocart cart
    removefromcart addtowishlist fav favorite favourite like wishlist search play read rate share begincheckout checkout
    """.split()  # noqa: SIM905
)
"""Things that happen to items and are no purchases, without spaces and in lower case."""
PURCHASE_EVENTS = frozenset({*PURCHASE_TEXTS, "ordercompleted", "orderplaced", "productpurchased", "checkoutcompleted"})
STATUS_NAMES = frozenset(
    """
    status state orderstatus orderstate paymentstatus financialstatus fulfillmentstatus fulfilmentstatus
    transactionstatus itemstatus lineitemstatus lineitemfulfillmentstatus deliverystatus
    """.split()  # noqa: SIM905
)
DONE_TEXTS = frozenset(
    """
    complete completed done paid shipped dispatched sent delivered fulfilled unfulfilled partial processing processed
    closed success successful succeeded approved accepted authorized settled captured confirmed invoiced received ok
    partiallyfulfilled partiallyshipped partiallyrefunded partiallypaid readyforpickup
    """.split()  # noqa: SIM905
)
"""What becomes of an order that was made and kept, without spaces and in lower case."""
REFUNDED_TEXTS = frozenset({"refund", "refunded", "return", "returned", "chargeback", "chargedback"})
UNDONE_TEXTS = REFUNDED_TEXTS | frozenset(
    """
    cancelled canceled cancel cancellation cancelledbycustomer cancelledbyseller voided void failed failure declined
    denied rejected expired unpaid abandoned trash deleted draft fraud error
    """.split()  # noqa: SIM905
)
"""What becomes of an order that in the end is none."""
KIND_TEXTS = PURCHASE_TEXTS | RETURN_TEXTS | {"erase"}
"""Values that every log may use without naming them, in lower case."""

MOST_DISTINCT = 20_000
_CLOCK = re.compile(r"\d{1,2}(?::\d{2}){1,2}(?:\.\d+)?(?:\s*[AaPp][Mm])?")
_HOUR = re.compile(r"(?:[01]?\d|2[0-3])")
_CLOCK_NAMES = frozenset({"time", "hour", "ordertime", "transtime", "transactiontime", "timeofday", "orderhourofday"})


@dataclass
class Roles:
    """The columns of the fields, and why.

    Attributes:
        columns: field -> its column, or columns to join.
        reasons: field -> why, in a few words.
        certain: fields whose column has the field's own name, or was named by the user.
        notations: of the timestamps, those that fit all of the sample.
        event_column: a column that says what happened, if there is one.
        event_values: its values, the most frequent first.
        undone: those of them that say that an order came to nothing, if the column says what became of orders.
        typed: whether the field type, if a column has that name, says what happened.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    certain: set[str] = field(default_factory=set)
    notations: list[str] = field(default_factory=list)
    event_column: str | None = None
    event_values: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    typed: bool = True

    @property
    def missing(self) -> list[str]:
        """Fields that every log needs, and no column seems to hold."""
        return [name for name in REQUIRED if name not in self.columns]


def plain_name(name: str) -> str:
    """A name as `NAMES` has them.

    >>> plain_name("Customer ID"), plain_name("purchased_at"), plain_name("user_id:token")
    ('customerid', 'purchasedat', 'userid')
    """
    name = re.sub(r":(?:token|token_seq|float|float_seq)$", "", name)
    return re.sub(r"[^a-z0-9]", "", name.lower())


def words(texts: Sequence[str]) -> set[str]:
    """Texts without case, spaces and signs."""
    return {re.sub(r"[^a-z0-9]", "", text.lower()) for text in texts}


def filled(cells: Sequence[str | None]) -> list[str]:
    """Those that are not missing."""
    return [cell.strip() for cell in cells if cell is not None and cell.strip().lower() not in MISSING_TEXTS]


def is_filled(cell: str | None) -> bool:
    """Whether a cell is not missing."""
    return cell is not None and cell.strip().lower() not in MISSING_TEXTS


def find_roles(
    sample: Mapping[str, Sequence[str | None]], wanted: Mapping[str, tuple[str, ...]], timestamp_format: str | None
) -> Roles:
    """The columns of the fields.

    Args:
        sample: cells by column, all of one length.
        wanted: field -> columns, as far as the user has said so.
        timestamp_format: the notation of timestamps, if the user has said so.

    >>> found = find_roles({"user": ["ann"], "Item ID": ["tea"], "bought at": ["5/1/2023"]}, {}, None)
    >>> found.columns["timestamp"], found.notations, sorted(found.certain)
    (('bought at',), ['day-first', 'month-first'], ['item_id'])
    """
    roles = Roles()
    for name, paths in wanted.items():
        if any(paths):
            roles.columns[name] = paths
            roles.reasons[name] = "as given"
            roles.certain.add(name)
    _find_timestamp(roles, sample, timestamp_format)
    taken = {path for paths in roles.columns.values() for path in paths}
    for name in ("customer_id", "item_id", "order_id", "quantity"):
        if name in roles.columns:
            continue
        column = _by_name(name, [column for column in sample if column not in taken], sample)
        if column is not None:
            roles.columns[name] = (column,)
            taken.add(column)
            own = plain_name(column) == plain_name(name)
            roles.reasons[name] = "by its name" if own else f"because it is called {column}"
            if own:
                roles.certain.add(name)
    _find_event(roles, sample, wanted)
    if roles.event_column is None and "type" not in wanted:
        _find_status(roles, sample)
    return roles


def _by_name(name: str, columns: Sequence[str], sample: Mapping[str, Sequence[str | None]]) -> str | None:
    ranked = []
    for place, column in enumerate(columns):
        plain, pair, last = _ends(column)
        if column.endswith("[]"):
            last = last.removesuffix("s")
        for candidate, penalty in ((plain, 0), (pair, 0), (last, 1)):
            empty = not filled(sample[column])
            if candidate in NAMES[name] and (not empty or plain == plain_name(name)):
                ranked.append((empty, penalty, NAMES[name].index(candidate), place, column))
                break
    if name == "quantity":
        ranked = [found for found in ranked if _are_numbers(filled(sample[found[-1]]))]
    return min(ranked)[-1] if ranked else None


def _ends(path: str) -> tuple[str, str, str]:
    """A column's plain name, and of a path the plain names of its last two parts and of its last."""
    parts = [part for part in re.split(r"\.|\[\]", path) if part]
    return plain_name(path), plain_name("".join(parts[-2:])), plain_name("".join(parts[-1:]))


def _are_numbers(cells: Sequence[str]) -> bool:
    return all(re.fullmatch(r"[-+]?\d+(?:[.,]\d+)*(?:\s*[A-Za-z]+\.?)?", cell) for cell in cells[:200])


def _find_timestamp(roles: Roles, sample: Mapping[str, Sequence[str | None]], timestamp_format: str | None) -> None:
    if "timestamp" in roles.columns:
        paths = roles.columns["timestamp"]
        if timestamp_format is None and all(path in sample for path in paths):
            roles.notations = _notations([sample[path] for path in paths])
        return
    dated: dict[str, tuple[int | None, list[str]]] = {}
    undated: dict[str, tuple[int | None, list[str]]] = {}
    for column, cells in sample.items():
        texts = _distinct(filled(cells))
        if not texts or column in {path for paths in roles.columns.values() for path in paths}:
            continue
        named = time_rank(column)
        notations = notations_of(texts) if named is not None or not _looks_like_number(texts[0]) else []
        if not notations and named is not None:
            notations = usual_notations(texts[:1000])  # some lines may be bad
        if notations or (named is not None and timestamp_format is not None) or plain_name(column) == "timestamp":
            dated[column] = (named, notations)
        elif named is not None:
            undated[column] = (named, notations)
    parts = _day_in_parts(sample, {path for paths in roles.columns.values() for path in paths})
    if parts and all(named is None for named, _ in dated.values()):
        roles.columns["timestamp"] = parts
        roles.reasons["timestamp"] = "year, month and day"
        if timestamp_format is None:
            roles.notations = _notations([sample[path] for path in parts])
        return
    dated = dated or undated
    if not dated:
        return
    best = min(dated, key=lambda column: (dated[column][0] is None, dated[column][0] or 0, list(sample).index(column)))
    paths = (best,)
    reason = "by its name" if plain_name(best) == "timestamp" else "because it holds dates"
    if all(_is_day(text) for text in _distinct(filled(sample[best]))[:50]):
        clock = next(
            (column for column in sample if column != best and _is_clock(column, filled(sample[column]))), None
        )
        if clock is not None:
            paths, reason = (best, clock), "a day and a time of day"
    roles.columns["timestamp"] = paths
    roles.reasons["timestamp"] = reason
    if paths == (best,) and plain_name(best) == "timestamp":
        roles.certain.add("timestamp")
    if timestamp_format is None:
        roles.notations = _notations([sample[path] for path in paths]) if len(paths) > 1 else dated[best][1]


def _day_in_parts(sample: Mapping[str, Sequence[str | None]], taken: set[str]) -> tuple[str, ...]:
    """Columns that hold year, month and day, and perhaps an hour or a time of day; empty if there are none."""
    by_name = {plain_name(column): column for column in reversed(list(sample)) if column not in taken}
    if not {"year", "month", "day"} <= by_name.keys():
        return ()
    parts = tuple(by_name[name] for name in ("year", "month", "day"))
    clock = next(
        (column for column in sample if column not in taken and _is_clock(column, filled(sample[column]))), None
    )
    return parts if clock is None or clock in parts else (*parts, clock)


def time_rank(column: str) -> int | None:
    """How likely a column's name is that of a time, 0 the likeliest; None if it is none."""
    for candidate in _ends(column):
        if candidate in NAMES["timestamp"]:
            return NAMES["timestamp"].index(candidate)
    return None


def _looks_like_number(text: str) -> bool:
    """Whether a text is a number, which only a column's name makes a time."""
    return re.fullmatch(r"[-+]?[\d.,]+(?:[eE][-+]?\d+)?", text) is not None and text.count(".") < 2


def _distinct(texts: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(texts))[:MOST_DISTINCT]


def _notations(columns: Sequence[Sequence[str | None]]) -> list[str]:
    rows = [" ".join(filled(cells)) for cells in zip(*columns, strict=True) if len(filled(cells)) == len(columns)]
    return notations_of([_without_midnight(row) if len(columns) > 1 else row for row in _distinct(rows)])


def _without_midnight(text: str) -> str:
    return re.sub(r"[T ]00:00(?::00)? (?=\d)", " ", text)


def _is_day(text: str) -> bool:
    """Whether a text is a day, or its midnight."""
    return not re.search(r"\d:\d", re.sub(r"[T ]00:00(?::00(?:\.0+)?)?$", "", text))


def _is_clock(column: str, texts: Sequence[str]) -> bool:
    if not texts:
        return False
    if all(_CLOCK.fullmatch(text) for text in texts[:200]):
        return True
    return plain_name(column) in _CLOCK_NAMES and all(_HOUR.fullmatch(text) for text in texts[:200])


def _find_event(
    roles: Roles, sample: Mapping[str, Sequence[str | None]], wanted: Mapping[str, tuple[str, ...]]
) -> None:
    if "type" in wanted:
        roles.typed = any(wanted["type"])
        column = wanted["type"][0]
        if roles.typed and column in sample:
            roles.event_values = [text for text, _ in Counter(filled(sample[column])).most_common(50)]
            roles.event_column = column if roles.event_values else None
        return
    taken = {path for name, paths in roles.columns.items() for path in paths if name in FIELDS}
    for column in sample:
        if column in taken:
            continue
        values = [text for text, _ in Counter(filled(sample[column])).most_common(50)]
        known = words(values)
        # whatever a column is called, views beside purchases are events
        if not set(_ends(column)) & EVENT_NAMES and not (known & VIEW_TEXTS and known & PURCHASE_EVENTS):
            continue
        if known & VIEW_TEXTS or (known & PURCHASE_EVENTS and not known <= KIND_TEXTS):
            roles.event_column, roles.event_values = column, values
            return
        if column == "type":
            roles.typed = known <= KIND_TEXTS
            roles.event_column, roles.event_values = (column, values) if roles.typed else (None, values)
        elif known and known <= KIND_TEXTS:
            roles.event_column, roles.event_values = column, values
            return


def _find_status(roles: Roles, sample: Mapping[str, Sequence[str | None]]) -> None:
    """Find a column that says of some orders that they came to nothing."""
    taken = {path for name, paths in roles.columns.items() for path in paths if name in FIELDS}
    quantities = filled(sample.get(roles.columns.get("quantity", ("",))[0], []))
    # where quantities below 0 are returns, the lines of refunded orders are such
    known = UNDONE_TEXTS - REFUNDED_TEXTS if any(cell.startswith("-") for cell in quantities) else UNDONE_TEXTS
    for column in sample:
        if column in taken or not set(_ends(column)) & STATUS_NAMES:
            continue
        values = [text for text, _ in Counter(filled(sample[column])).most_common(50)]
        roles.undone = [value for value in values if words([value]) & known]
        if roles.undone:
            roles.event_column, roles.event_values = column, values
            return
