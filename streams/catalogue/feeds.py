"""Product feeds of shops: which columns say what, and how their variants and parent rows become items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

Row: TypeAlias = "tuple[str, dict[str, object] | str, float]"
"""Place of a row, its cells or what is wrong with it, and how much of the file was read."""
Attributes: TypeAlias = "Mapping[str, str]"
"""Columns by the name of the attribute that each has."""


@dataclass(frozen=True)
class Feed:
    """A kind of feed.

    Attributes:
        name: who writes it.
        header: columns by which it is known.
        columns: those that are read, as far as a file has them.
        items: makes rows of the feed rows of items: item_id, title, category, available, url, image, price, brand,
            group_id, and the columns that it is given as attributes, by the name of each.
    """

    name: str
    header: tuple[str, ...]
    columns: tuple[str, ...]
    items: Callable[[Iterable[Row], Attributes], Iterator[Row]]


def feed_of(columns: Collection[str]) -> Feed | None:
    """The feed that has such columns; None if none is known."""
    return next((feed for feed in FEEDS if set(feed.header) <= set(columns)), None)


def _text(cells: dict[str, object], column: str) -> str:
    return str(cells.get(column) or "").strip()


def _valued(attributes: Attributes, cells: dict[str, object], shared: dict[str, object]) -> dict[str, object]:
    """The attributes of a row, which may leave to another what both share."""
    return {name: _text(cells, column) or _text(shared, column) for name, column in attributes.items()}


def _first(text: str) -> str | None:
    """The first of several addresses in a cell."""
    return text.partition(",")[0].strip() or None


def _merchant(rows: Iterable[Row], attributes: Attributes) -> Iterator[Row]:
    for place, cells, fraction in rows:
        if isinstance(cells, str):
            yield place, cells, fraction
            continue
        category = _text(cells, "product_type") or _text(cells, "google_product_category")
        fields: dict[str, object] = {
            "item_id": cells.get("id"),
            "title": cells.get("title"),
            "category": category or None,
            "available": cells.get("availability"),
            "url": cells.get("link"),
            "image": cells.get("image_link"),
            "price": cells.get("price"),
            "brand": cells.get("brand"),
            "group_id": cells.get("item_group_id"),
            **_valued(attributes, cells, {}),
        }
        yield place, fields, fraction


def _shopify(rows: Iterable[Row], attributes: Attributes) -> Iterator[Row]:
    """A product's first row has what its variants share; rows without variant are further pictures."""
    product: dict[str, object] = {}
    for place, cells, fraction in rows:
        if isinstance(cells, str):
            yield place, cells, fraction
            continue
        if _text(cells, "Title") or cells.get("Handle") != product.get("Handle"):
            product = cells
        sku = _text(cells, "Variant SKU").removeprefix("'")
        if not sku and not _text(cells, "Variant Price"):
            continue
        options = [_text(cells, f"Option{number} Value") for number in (1, 2, 3)]
        variant = " / ".join(option for option in options if option and option != "Default Title")
        title = _text(product, "Title")
        fields: dict[str, object] = {
            "item_id": sku or None,
            "title": f"{title} ({variant})" if title and variant else title or None,
            "category": _text(product, "Type") or _text(product, "Product Category") or None,
            "available": _shopify_availability(product, cells),
            "image": _text(cells, "Variant Image") or _text(product, "Image Src") or None,
            "price": _text(cells, "Variant Price") or None,
            "brand": _text(product, "Vendor") or None,
            "group_id": _text(cells, "Handle") or None,
            **_valued(attributes, cells, product),
        }
        yield place, fields, fraction


def _shopify_availability(product: dict[str, object], variant: dict[str, object]) -> bool | str:
    if _text(product, "Status").lower() not in ("", "active") or _text(product, "Published").lower() == "false":
        return False
    stock = _text(variant, "Variant Inventory Qty")
    counted = bool(_text(variant, "Variant Inventory Tracker")) and bool(stock)
    sold = not counted or _text(variant, "Variant Inventory Policy").lower() == "continue" or float(stock) > 0
    return sold or "sold out"


def _woocommerce(rows: Iterable[Row], attributes: Attributes) -> Iterator[Row]:
    """Variations name their parent, by "id:" and number or by its SKU, and leave out what it has."""
    parents: dict[str, dict[str, object]] = {}
    for place, cells, fraction in rows:
        if isinstance(cells, str):
            yield place, cells, fraction
            continue
        named = _text(cells, "Parent")
        parent = parents.get(named, {}) if named else {}
        if _text(cells, "Type").startswith("variable"):
            parents[f"id:{_text(cells, 'ID')}"] = parents[_text(cells, "SKU")] = parent = cells
        group = _text(parent, "SKU") or _text(parent, "ID") or named.removeprefix("id:")
        published = _text(cells, "Published") == "1" and _text(parent, "Published") in ("", "1")
        stocked = _text(cells, "In stock?") != "0" or _text(cells, "Backorders allowed?") in ("1", "notify")
        categories = _text(cells, "Categories") or _text(parent, "Categories")
        fields: dict[str, object] = {
            "item_id": _text(cells, "SKU") or None,
            "title": cells.get("Name"),
            "category": categories.partition(",")[0].strip() or None,
            "available": published and (stocked or "sold out"),
            "image": _first(_text(cells, "Images") or _text(parent, "Images")),
            "price": _text(cells, "Sale price") or _text(cells, "Regular price") or None,
            "brand": _text(cells, "Brands") or _text(parent, "Brands") or None,
            "group_id": group or None,
            **_valued(attributes, cells, parent),
        }
        yield place, fields, fraction


FEEDS: tuple[Feed, ...] = (
    Feed(
        "Google Merchant Center",
        ("id", "title", "link", "availability"),
        (
            "id",
            "title",
            "link",
            "image_link",
            "availability",
            "product_type",
            "google_product_category",
            "price",
            "brand",
            "item_group_id",
        ),
        _merchant,
    ),
    Feed(
        "Shopify",
        ("Handle", "Title", "Variant SKU", "Variant Price"),
        (
            *("Handle", "Title", "Type", "Product Category", "Published", "Status", "Image Src", "Variant Image"),
            *("Option1 Value", "Option2 Value", "Option3 Value", "Variant SKU", "Variant Price", "Vendor"),
            *("Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy"),
        ),
        _shopify,
    ),
    Feed(
        "WooCommerce",
        ("ID", "Type", "SKU", "Name", "Published", "In stock?"),
        (
            *("ID", "Type", "SKU", "Name", "Published", "In stock?", "Backorders allowed?", "Categories", "Images"),
            *("Parent", "Sale price", "Regular price", "Brands"),
        ),
        _woocommerce,
    ),
)
