"""The catalogue: what a shop says of its items besides who bought them, and its reading from files."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from producers.orders import LONGEST_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_TEXT = 1000
LONGEST_ADDRESS = 2000
_OFF = frozenset(
    """
    false no n f off outofstock soldout unavailable notavailable discontinued inactive archived draft hidden disabled
    deleted ended removed unlisted outofprint nichtverfugbar ausverkauft epuise agotado
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


UNKNOWN = CatalogueItem()
_decoder = msgspec.json.Decoder(CatalogueItem)
encode_item = msgspec.json.Encoder().encode


def decode_item(record: bytes) -> CatalogueItem:
    """A record of the topic `items`, checked.

    Raises:
        CatalogueError: it is not a catalogue record.

    >>> decode_item(b'{"title": "Tea", "available": false}')
    CatalogueItem(title='Tea', category=None, available=False, url=None, image=None, price=None, brand=None)
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
    for part in ("title", "category", "price", "brand"):
        text = getattr(item, part)
        if text is not None and not _is_unicode(text):
            raise CatalogueError(f"{part} holds half of a surrogate pair, which is no character")
        if text is not None and len(text) > LONGEST_TEXT:
            raise CatalogueError(f"{part} has {len(text)} characters, more than {LONGEST_TEXT}")
    for part in ("url", "image"):
        address = getattr(item, part)
        if address is not None and (len(address) > LONGEST_ADDRESS or not _is_web_address(address)):
            raise CatalogueError(f"{part} is {address[:60]!r}, not an http or https address")


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
        categories: category -> ids of its items.
        version: grows with every change.

    >>> catalogue = Catalogue({"tea": CatalogueItem(title="Tea", category="drinks")})
    >>> catalogue.put("tea", CatalogueItem(title="Tea", category="drinks", available=False))
    >>> catalogue.unavailable, catalogue.categories, catalogue.version
    ({'tea'}, {'drinks': {'tea'}}, 2)
    """

    def __init__(self, items: dict[str, CatalogueItem] | None = None) -> None:
        self.items: dict[str, CatalogueItem] = {}
        self.unavailable: set[str] = set()
        self.categories: dict[str, set[str]] = {}
        self.version = 0
        for item_id, item in (items or {}).items():
            self.put(item_id, item)

    def put(self, item_id: str, item: CatalogueItem | None) -> None:
        """Set what is known of an item; None: nothing any more."""
        before = self.items.pop(item_id, UNKNOWN)
        if before.category is not None:
            self.categories[before.category].discard(item_id)
            if not self.categories[before.category]:
                del self.categories[before.category]
        self.unavailable.discard(item_id)
        self.version += 1
        if item is None:
            return
        self.items[item_id] = item
        if item.category is not None:
            self.categories.setdefault(item.category, set()).add(item_id)
        if not item.available:
            self.unavailable.add(item_id)

    def get(self, item_id: str) -> CatalogueItem:
        """What is known of an item, perhaps nothing."""
        return self.items.get(item_id, UNKNOWN)

    def beyond(self, known: Iterable[str]) -> list[str]:
        """Ids of the items that are not among `known`, in a fixed order."""
        return sorted(self.items.keys() - set(known))


def from_fields(fields: dict[str, object]) -> tuple[str, CatalogueItem]:
    """Item id and what is known of it, from a row of a file.

    Args:
        fields: by name, as the file has them: text, numbers, None.

    Raises:
        CatalogueError: naming the field that is wrong.

    >>> from_fields({"item_id": 7, "title": " Tea ", "available": "no", "url": ""})
    ('7', CatalogueItem(title='Tea', category=None, available=False, url=None, image=None, price=None, brand=None))
    """
    item_id = _text(fields.get("item_id"))
    if item_id is None:
        raise CatalogueError("item_id is missing")
    check_item_id(item_id)
    item = CatalogueItem(
        title=_text(fields.get("title")),
        category=_text(fields.get("category")),
        available=_flag(fields.get("available")),
        url=_text(fields.get("url")),
        image=_text(fields.get("image")),
        price=_text(fields.get("price")),
        brand=_text(fields.get("brand")),
    )
    check_item(item)
    return item_id, item


def _text(value: object) -> str | None:
    """A field as text; None if it is empty."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with gaps arrives as floats
    text = "" if value is None else str(value).strip()
    return text or None


def _flag(value: object) -> bool:
    """Whether an item can be had: by a word of any shop, or how many are in stock."""
    if value is None or isinstance(value, bool):
        return value is not False
    text = str(value).strip().lower()
    if re.fullmatch(r"-?[0-9]+(?:[.,][0-9]+)?", text):
        return float(text.replace(",", ".")) > 0
    address = re.sub(r"^https?://schema\.org/", "", text)
    word = re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", address))
    if word in _OFF or word in _ON or not text:
        return word not in _OFF
    raise CatalogueError(f"available is {str(value)[:60]!r}, not true or false, nor another word of availability")
