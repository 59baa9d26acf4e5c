"""The catalogue: what a shop says of its items besides who bought them, and its reading from files."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from producers.orders import LONGEST_ID_BYTES
from streams.catalogue.conditions import amount_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.catalogue.conditions import Condition

LONGEST_TEXT = 1000
LONGEST_ADDRESS = 2000
MOST_ATTRIBUTES = 16
"""Of an item."""
LONGEST_NAME = 60
"""Characters of an attribute's name."""
LONGEST_VALUE = 200
"""Characters of an attribute's value."""
FIELDS = ("item_id", "title", "category", "available", "url", "image", "price", "brand", "group_id")
"""Of a row of a catalogue file. No attribute has such a name."""
SHOWN_FIELDS = ("title", "url", "image", "category", "price", "brand", "group_id")
"""What lists may show of an item, besides its attributes."""
_SIGNS = frozenset(":^,")  # separate the parts of conditions, and names
_SOLD_OUT = frozenset("outofstock soldout ausverkauft epuise agotado".split())  # noqa: SIM905
_OFF = frozenset(
    """
    false no n f off unavailable notavailable discontinued inactive archived draft hidden disabled deleted ended removed
    unlisted outofprint nichtverfugbar
    """.split()  # noqa: SIM905  a list would take a line for each
)
_ON = frozenset(
    """
    true yes y t on instock available active enabled published visible live preorder presale backorder onbackorder
    availableforpreorder availablefororder limitedavailability instoreonly onlineonly madetoorder lowstock
    verfugbar lieferbar auflager enstock disponible
    """.split()  # noqa: SIM905
)
"""Words of availability without case, spaces and signs."""


class CatalogueError(Exception):
    """A catalogue record or file that cannot be read. The message says where, what, and what was expected."""


class CatalogueItem(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is known of an item; every part may be missing."""

    title: str | None = None
    category: str | None = None
    available: bool = True
    url: str | None = None
    image: str | None = None
    price: str | None = None
    brand: str | None = None
    in_stock: bool = True
    """Whether it can be had now; available items that are sold out are shown to whoever asks for them."""
    attributes: dict[str, str] = {}
    """Whatever else the shop wants shown or filtered by, such as colour: value by name."""
    group_id: str | None = None
    """Of the product that it is a variant of, so that lists show one variant; none if it is empty."""

    @property
    def obtainable(self) -> bool:
        """Whether it may be shown and is in stock itself, whatever other variants are."""
        return self.available and self.in_stock


UNKNOWN = CatalogueItem()
_decoder = msgspec.json.Decoder(CatalogueItem)
encode_item = msgspec.json.Encoder().encode


def decode_item(record: bytes) -> CatalogueItem:
    """A record of the topic `items`, checked.

    Raises:
        CatalogueError: it is not a catalogue record.

    >>> decode_item(b'{"title": "Tea", "available": false}') == CatalogueItem(title="Tea", available=False)
    True
    """
    try:
        item = _decoder.decode(record)
    except (ValueError, RecursionError) as error:  # msgspec's own errors, text that is not UTF-8, and deep nesting
        raise CatalogueError(f"not a catalogue record: {error}") from None
    check_item(item)
    return item


def check_item(item: CatalogueItem) -> None:
    """Check what types do not say: lengths, and that addresses are web addresses.

    Raises:
        CatalogueError: naming the part that is wrong.

    >>> check_item(CatalogueItem(url="javascript:alert(1)"))
    Traceback (most recent call last):
    streams.catalogue.catalogue.CatalogueError: url is 'javascript:alert(1)', not an http or https address
    """
    for part in ("title", "category", "price", "brand", "group_id"):
        text = getattr(item, part)
        if text is not None and not _is_unicode(text):
            raise CatalogueError(f"{part} holds half of a surrogate pair, which is no character")
        if text is not None and len(text) > LONGEST_TEXT:
            raise CatalogueError(f"{part} has {len(text)} characters, more than {LONGEST_TEXT}")
    for part in ("url", "image"):
        address = getattr(item, part)
        if address is not None and (len(address) > LONGEST_ADDRESS or not _is_web_address(address)):
            raise CatalogueError(f"{part} is {address[:60]!r}, not an http or https address")
    if len(item.attributes) > MOST_ATTRIBUTES:
        raise CatalogueError(f"there are {len(item.attributes)} attributes, more than {MOST_ATTRIBUTES}")
    for name, value in item.attributes.items():
        check_attribute_name(name)
        if not _is_unicode(value):
            raise CatalogueError(f"attribute {name} holds half of a surrogate pair, which is no character")
        if len(value) > LONGEST_VALUE:
            raise CatalogueError(f"attribute {name} has {len(value)} characters, more than {LONGEST_VALUE}")


def check_attribute_name(name: str) -> None:
    """Check that an attribute can have this name.

    Raises:
        CatalogueError: it is empty, too long, that of a field, or has signs that separate names.

    >>> check_attribute_name("price")
    Traceback (most recent call last):
    streams.catalogue.catalogue.CatalogueError: no attribute can be called 'price', which is a field of every item
    """
    if name in (*FIELDS, "in_stock"):
        raise CatalogueError(f"no attribute can be called {name!r}, which is a field of every item")
    if not 0 < len(name) <= LONGEST_NAME or not _is_unicode(name) or _SIGNS & set(name):
        raise CatalogueError(
            f"{name[:80]!r} cannot be the name of an attribute: it has 1 to {LONGEST_NAME} characters, "
            "none of them a colon, comma or ^"
        )


def check_item_id(item_id: str) -> None:
    """Check that an item id is not longer than those that can be bought.

    Raises:
        CatalogueError: it is.
    """
    if not _is_unicode(item_id):
        raise CatalogueError("item_id holds half of a surrogate pair, which is no character")
    length = len(item_id.encode())
    if length > LONGEST_ID_BYTES:
        raise CatalogueError(f"item_id has {length} bytes, more than {LONGEST_ID_BYTES}")


def _is_unicode(text: str) -> bool:
    r"""Whether it can be written as UTF-8: Python's JSON gives half of a pair for an escape such as \ud800."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_web_address(address: str) -> bool:
    if not _is_unicode(address):
        return False
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


class Catalogue:
    """The catalogue in memory.

    Attributes:
        items: what is known, by item id.
        unavailable: ids of the items that may not be shown.
        sold_out: ids of those that may be shown, and of whose group none is in stock.
        having: field or attribute -> value -> ids of the items that have it.
        prices: item id -> amount, of those whose price can be read.
        version: grows with every change.
        ids_version: grows when an item is added or removed.
        prices_version: grows when a price changes.

    >>> catalogue = Catalogue({"tea": CatalogueItem(title="Tea", category="drinks")})
    >>> catalogue.put("tea", CatalogueItem(title="Tea", category="drinks", available=False))
    >>> catalogue.unavailable, catalogue.having, catalogue.version
    ({'tea'}, {'category': {'drinks': {'tea'}}}, 2)
    """

    def __init__(self, items: dict[str, CatalogueItem] | None = None) -> None:
        self.items: dict[str, CatalogueItem] = {}
        self.unavailable: set[str] = set()
        self.sold_out: set[str] = set()
        self.having: dict[str, dict[str, set[str]]] = {}
        self.prices: dict[str, float] = {}
        self._obtainable: Counter[str] = Counter()  # items by group
        self.version = self.ids_version = self.prices_version = 0
        for item_id, item in (items or {}).items():
            self.put(item_id, item)

    def put(self, item_id: str, item: CatalogueItem | None) -> None:
        """Set what is known of an item; None: nothing any more."""
        self.ids_version += (item_id in self.items) != (item is not None)
        before = self.items.pop(item_id, UNKNOWN)
        for field, value in _indexed(before):
            values = self.having[field]
            values[value].discard(item_id)
            if not values[value]:
                del values[value]
            if not values:
                del self.having[field]
        self.unavailable.discard(item_id)
        self.sold_out.discard(item_id)
        self.version += 1
        after = UNKNOWN if item is None else item
        if item is not None:
            self.items[item_id] = item
            for field, value in _indexed(item):
                self.having.setdefault(field, {}).setdefault(value, set()).add(item_id)
        self._count_obtainable(before, after)
        if before.price != after.price:
            self.prices_version += 1
            self.prices.pop(item_id, None)
            if after.price is not None and (amount := amount_of(after.price)) is not None:
                self.prices[item_id] = amount
        if not after.available:
            self.unavailable.add(item_id)
        elif not after.in_stock and not self._obtainable[after.group_id or ""]:
            self.sold_out.add(item_id)

    def _count_obtainable(self, before: CatalogueItem, after: CatalogueItem) -> None:
        """Have the sold out members of a group shown as long as another one is in stock."""
        for item, step in ((after, 1), (before, -1)):  # in this order, so that a change of anything else is none here
            if not item.group_id or not item.obtainable:
                continue
            self._obtainable[item.group_id] += step
            members = self.having.get("group_id", {}).get(item.group_id, ())
            if step > 0 and self._obtainable[item.group_id] == 1:
                self.sold_out.difference_update(members)
            elif not self._obtainable[item.group_id]:
                del self._obtainable[item.group_id]
                self.sold_out.update(other for other in members if self.items[other].available)

    def group_of(self, item_id: str) -> str | None:
        """The group of an item, if it has one."""
        return self.get(item_id).group_id or None

    def siblings(self, item_id: str) -> tuple[str, ...]:
        """Ids of the items of an item's group, itself included; none if it has no group. Any thread may ask."""
        group = self.group_of(item_id)
        return () if group is None else tuple(self.having.get("group_id", {}).get(group, ()))

    @property
    def grouped(self) -> bool:
        """Whether any item has a group."""
        return "group_id" in self.having

    def hidden(self, item_id: str, *, in_stock: bool = True) -> bool:
        """Whether an item may not be shown, or is sold out where only what is in stock is to be shown."""
        return item_id in self.unavailable or (in_stock and item_id in self.sold_out)

    def holds(self, condition: Condition, item_id: str) -> bool:
        """Whether a condition holds for an item."""
        if condition.field == "price":
            return item_id in self.prices and condition.low <= self.prices[item_id] <= condition.high
        if condition.field == "in_stock":
            return self.hidden(item_id) == (condition.value == "false")
        return item_id in self.having.get(condition.field, {}).get(condition.value, ())

    def get(self, item_id: str) -> CatalogueItem:
        """What is known of an item, perhaps nothing."""
        return self.items.get(item_id, UNKNOWN)


def _indexed(item: CatalogueItem) -> Iterator[tuple[str, str]]:
    """The fields and attributes by whose values items are found."""
    if item.category is not None:
        yield "category", item.category
    if item.brand is not None:
        yield "brand", item.brand
    if item.group_id:
        yield "group_id", item.group_id
    yield from item.attributes.items()


def from_fields(fields: dict[str, object]) -> tuple[str, CatalogueItem]:
    """Item id and what is known of it, from a row of a file.

    Args:
        fields: values by name, as found in the file: text, numbers or None. Names outside `FIELDS` are attributes.

    Raises:
        CatalogueError: naming the field that is wrong.

    >>> fields = {"item_id": 7, "title": " Tea ", "available": "no", "url": "", "leaf": "green"}
    >>> from_fields(fields) == ("7", CatalogueItem(title="Tea", available=False, attributes={"leaf": "green"}))
    True
    """
    item_id = _text(fields.get("item_id"))
    if item_id is None:
        raise CatalogueError("item_id is missing")
    check_item_id(item_id)
    availability = _availability(fields.get("available"))
    item = CatalogueItem(
        title=_text(fields.get("title")),
        category=_text(fields.get("category")),
        available=availability != "hidden",
        in_stock=availability != "sold out",
        url=_text(fields.get("url")),
        image=_text(fields.get("image")),
        price=_text(fields.get("price")),
        brand=_text(fields.get("brand")),
        group_id=_text(fields.get("group_id")),
        attributes={
            name: text for name, value in fields.items() if name not in FIELDS and (text := _text(value)) is not None
        },
    )
    check_item(item)
    return item_id, item


def _text(value: object) -> str | None:
    """A field as text; None if it is empty."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with gaps arrives as floats
    text = "" if value is None else str(value).strip()
    return text or None


def _availability(value: object) -> str:
    """`on`, `hidden` or `sold out`: by a word of any shop, or how many are in stock."""
    if value is None or isinstance(value, bool):
        return "hidden" if value is False else "on"
    text = str(value).strip().lower()
    if re.fullmatch(r"-?[0-9]+(?:[.,][0-9]+)?", text):
        return "on" if float(text.replace(",", ".")) > 0 else "sold out"
    address = re.sub(r"^https?://schema\.org/", "", text)
    word = re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", address))
    if word in _SOLD_OUT:
        return "sold out"
    if word in _OFF or word in _ON or not text:
        return "hidden" if word in _OFF else "on"
    raise CatalogueError(f"available is {str(value)[:60]!r}, not true or false, nor another word of availability")
