"""Product feeds: variants, parent rows, availability in all usual words, and items that a complete feed lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.catalogue.catalogue import CatalogueError, decode_item, encode_item, from_fields
from streams.catalogue.files import read_catalogue
from tests.commands import output_of
from tests.log_kinds import workbook

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: str | bytes) -> dict[str, tuple[str | None, str | None, bool]]:
    """Title, category and availability by item id; no row may be rejected."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = list(read_catalogue(path))
    assert [row.reason for row in rows if row.reason] == []
    return {row.item_id: (row.item.title, row.item.category, row.item.available) for row in rows}


def test_a_feed_for_google_merchant_center_is_read(tmp_path: Path) -> None:
    content = (
        "id\ttitle\tdescription\tlink\timage_link\tavailability\tprice\titem_group_id\tproduct_type\n"
        "T1\tTea\tgreen\thttps://x.org/t\thttps://x.org/t.jpg\tin stock\t4.00 EUR\tT\tDrinks > Tea\n"
        "T2\tTea 2\tgreen\thttps://x.org/t2\thttps://x.org/t2.jpg\tout of stock\t4.00 EUR\tT\tDrinks > Tea\n"
        "T3\tTea 3\tgreen\thttps://x.org/t3\thttps://x.org/t3.jpg\tpreorder\t4.00 EUR\tT\tDrinks > Tea\n"
    )

    assert read(tmp_path / "feed.txt", content) == {
        "T1": ("Tea", "Drinks > Tea", True),
        "T2": ("Tea 2", "Drinks > Tea", False),
        "T3": ("Tea 3", "Drinks > Tea", True),
    }


@pytest.mark.parametrize(
    "content",
    [
        "id,title,link,availability,price,brand\nT1,Tea,https://x.org/t,in stock,4.00 EUR,Leaf\n",
        "Handle,Title,Vendor,Variant SKU,Variant Price\ntea,Tea,Leaf,T1,4.00 EUR\n",
        "ID,Type,SKU,Name,Published,In stock?,Sale price,Regular price,Brands\n1,simple,T1,Tea,1,1,4.00 EUR,5,Leaf\n",
        "item_id,title,price,brand\nT1,Tea,4.00 EUR,Leaf\n",
    ],
)
def test_price_and_brand_are_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text(content)

    (row,) = read_catalogue(path)

    assert (row.item_id, row.item.price, row.item.brand) == ("T1", "4.00 EUR", "Leaf")
    assert decode_item(encode_item(row.item)) == row.item


def test_variants_of_a_shopify_export_share_what_their_product_has(tmp_path: Path) -> None:
    content = (
        "Handle,Title,Type,Published,Option1 Name,Option1 Value,Variant SKU,Variant Inventory Tracker,"
        "Variant Inventory Qty,Variant Inventory Policy,Variant Price,Image Src,Status\n"
        "mug,Mug,Kitchen,true,Colour,Blue,M-B,shopify,3,deny,5,https://x.org/m.jpg,active\n"
        "mug,,,,,Red,M-R,shopify,0,deny,5,,\n"
        "mug,,,,,,,,,,,https://x.org/m2.jpg,\n"
        "mug,,,,,Green,M-G,shopify,-2,continue,5,,\n"
        "tea,Tea,Drinks,true,Title,Default Title,TEA,,,deny,4,,active\n"
        "old,Old,Drinks,true,Title,Default Title,OLD,,,deny,4,,archived\n"
    )

    assert read(tmp_path / "products_export.csv", content) == {
        "M-B": ("Mug (Blue)", "Kitchen", True),
        "M-R": ("Mug (Red)", "Kitchen", False),
        "M-G": ("Mug (Green)", "Kitchen", True),
        "TEA": ("Tea", "Drinks", True),
        "OLD": ("Old", "Drinks", False),
    }


def test_variations_of_a_woocommerce_export_take_what_their_parent_has(tmp_path: Path) -> None:
    content = (
        "ID,Type,SKU,Name,Published,In stock?,Stock,Backorders allowed?,Categories,Images,Parent\n"
        '10,variable,MUG,Mug,1,1,,0,"Kitchen, Gifts","https://x.org/a.jpg, https://x.org/b.jpg",\n'
        "11,variation,MUG-B,Mug - Blue,1,1,3,0,,,id:10\n"
        "12,variation,MUG-R,Mug - Red,1,0,0,0,,,MUG\n"
        "13,simple,TEA,Tea,-1,1,5,0,Drinks,,\n"
    )

    assert read(tmp_path / "wc-product-export.csv", content) == {
        "MUG": ("Mug", "Kitchen", True),
        "MUG-B": ("Mug - Blue", "Kitchen", True),
        "MUG-R": ("Mug - Red", "Kitchen", False),
        "TEA": ("Tea", "Drinks", False),
    }


def test_tables_of_other_kinds_are_read_by_their_content(tmp_path: Path) -> None:
    expected = {"7": ("Tea", None, True), "8": ("Caf\u00e9", None, False)}

    rows: list[list[object]] = [["item_id", "title", "available"], [7, "Tea", "yes"], [8, "Caf\u00e9", "no"]]
    assert read(tmp_path / "items.xlsx", workbook(rows)) == expected
    text = "item_id;title;available\n7;Tea;1\n8;Caf\u00e9;0\n"
    assert read(tmp_path / "items.txt", text) == expected
    assert read(tmp_path / "latin.csv", text.encode("latin-1")) == expected


@pytest.mark.parametrize(
    ("value", "available"),
    [
        ("in stock", True),
        ("In_Stock", True),
        ("https://schema.org/InStock", True),
        ("preorder", True),
        ("backorder", True),
        ("12", True),
        (3, True),
        ("", True),
        (None, True),
        ("out of stock", False),
        ("OutOfStock", False),
        ("http://schema.org/SoldOut", False),
        ("discontinued", False),
        ("0", False),
        ("-1", False),
        ("0.0", False),
        ("ausverkauft", False),
    ],
)
def test_availability_is_known_in_all_usual_words(value: object, available: bool) -> None:
    assert from_fields({"item_id": "7", "available": value})[1].available is available


def test_a_word_that_is_not_known_is_rejected() -> None:
    with pytest.raises(CatalogueError, match="available is 'perhaps'"):
        from_fields({"item_id": "7", "available": "perhaps"})


def test_an_item_that_a_complete_feed_lacks_is_hidden_and_no_longer_recommended(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    lines = [f"c{n},{item},2023-01-{n + 1:02}" for n in range(9) for item in ("tea", "mug", "jam")]
    log.write_text("\n".join(["customer_id,item_id,timestamp", *lines, "c9,tea,2023-01-20", ""]))
    state = tmp_path / "state"
    output_of("replay", log, "--state-dir", state)
    feed = tmp_path / "items.csv"
    feed.write_text("item_id,title\ntea,Tea\nmug,Mug\njam,Jam\n")
    output_of("catalogue", feed, "--state-dir", state)
    assert "mug" in output_of("recommend", "c9", "--state-dir", state).lower()

    feed.write_text("item_id,title\ntea,Tea\njam,Jam\n")
    output = output_of("catalogue", feed, "--complete", "--state-dir", state)

    assert "1 items hidden that it no longer has" in output
    recommended = output_of("recommend", "c9", "--state-dir", state).lower()
    assert "jam" in recommended
    assert "mug" not in recommended
    again = output_of("catalogue", feed, "--complete", "--state-dir", state)
    assert "hidden" not in again


def test_a_complete_feed_with_rejected_rows_hides_nothing(tmp_path: Path) -> None:
    from streams.catalogue import stored  # noqa: PLC0415

    feed = tmp_path / "items.csv"
    feed.write_text("item_id,title\ntea,Tea\nmug,Mug\n")
    stored.fill(tmp_path, feed, {})
    feed.write_text("item_id,title,available\ntea,Tea,yes\nmug,Mug,perhaps\n")

    filled = stored.fill(tmp_path, feed, {}, complete=True)

    assert (filled.rejected, filled.hidden) == (1, 0)
