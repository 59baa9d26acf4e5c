"""Product feeds: variants, parent rows, availability in all usual words, and items that a complete feed lacks."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from state.catalogue_store import CatalogueStore
from streams.catalogue.catalogue import CatalogueError, decode_item, encode_item, from_fields
from streams.catalogue.files import read_catalogue
from streams.catalogue.stored import directory_of
from tests.commands import called, output_of, refused
from tests.log_kinds import workbook

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path, content: str | bytes) -> dict[str, tuple[str | None, str | None, bool]]:
    """Title, category, and whether it can be had, by item id; no row may be rejected."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = list(read_catalogue(path))
    assert [row.reason for row in rows if row.reason] == []
    return {row.item_id: (row.item.title, row.item.category, row.item.available and row.item.in_stock) for row in rows}


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
    _, item = from_fields({"item_id": "7", "available": value})

    assert (item.available and item.in_stock) is available


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

    assert "1 items hidden that are no longer sold" in output
    recommended = output_of("recommend", "c9", "--state-dir", state).lower()
    assert "jam" in recommended
    assert "mug" not in recommended
    again = output_of("catalogue", feed, "--complete", "--state-dir", state)
    assert "hidden" not in again


def test_a_complete_feed_with_rejected_rows_hides_nothing(tmp_path: Path) -> None:
    from streams.catalogue import stored  # noqa: PLC0415

    feed = tmp_path / "items.csv"
    feed.write_text("item_id,title\ntea,Tea\nmug,Mug\n")
    stored.fill(tmp_path, read_catalogue(feed))
    feed.write_text("item_id,title,available\ntea,Tea,yes\nmug,Mug,perhaps\n")

    filled = stored.fill(tmp_path, read_catalogue(feed), complete=True)

    assert (filled.rejected, filled.hidden) == (1, 0)


def known(state_dir: Path) -> dict[str, tuple[str | None, str | None]]:
    """Title and category by item."""
    store = CatalogueStore(directory_of(state_dir))
    items = {item_id: decode_item(record) for item_id, record in store.every().items() if record is not None}
    store.close()
    return {item_id: (item.title, item.category) for item_id, item in items.items()}


def test_a_catalogue_is_read_from_wherever_logs_are(tmp_path: Path) -> None:
    """Directories whose names are columns, patterns, pipes and archives."""
    parts = tmp_path / "parts"
    for category, title in (("drinks", "Tea"), ("bath", "Soap")):
        (parts / f"category={category}").mkdir(parents=True)
        (parts / f"category={category}" / "items.csv").write_text(f"item_id,title\n{title.lower()},{title}\n")
    (parts / "_SUCCESS").touch()
    with zipfile.ZipFile(tmp_path / "feeds.zip", "w") as archive:
        archive.writestr("old.csv", "item_id,title\nmug,Cup\n")
        archive.writestr("new.csv", "item_id,title\nmug,Mug\n")

    def fill(*arguments: str | Path, stdin: bytes | None = None) -> str:
        result = called("catalogue", *arguments, "--state-dir", tmp_path / "state", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    assert "2 items in the catalogue, 0 rows rejected" in fill(parts)
    assert known(tmp_path / "state") == {"tea": ("Tea", "drinks"), "soap": ("Soap", "bath")}
    fill("-", stdin=b"item_id;title\njam;Jam\n")
    assert "name one, --member NAME" in refused("catalogue", tmp_path / "feeds.zip", "--state-dir", tmp_path / "state")
    fill(tmp_path / "feeds.zip", "--member", "new.csv")
    assert known(tmp_path / "state").keys() == {"tea", "soap", "jam", "mug"}
    assert known(tmp_path / "state")["mug"] == ("Mug", None)
    told = fill(f"{parts}/**/items.csv", "--complete")
    assert "2 items hidden that are no longer sold" in told


def test_files_of_a_catalogue_are_looked_at_before_the_first_is_used(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("item_id,title\ntea,Tea\n,x\n")
    other.write_text("sku,title\nmug,Mug\n")

    error = refused("catalogue", one, other, "--state-dir", tmp_path)

    assert "other.csv has no column 'item_id'" in error
    assert not directory_of(tmp_path).exists()
    other.write_text("item_id,title\n,Mug\n")
    result = called("catalogue", one, other, "--state-dir", tmp_path)
    assert result.exit_code == 1
    assert f"{one} line 3: item_id is missing" in result.stderr
    assert f"{other} line 2: item_id is missing" in result.stderr


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("id,title,link,availability,color\nT1,Tea,https://x.org/t,in stock, Green \n", {}),
        ("Handle,Title,Vendor,color,Variant SKU,Variant Price\ntea,Tea,Leaf,Green,T0,4\ntea,,,,T1,4\n", {}),
        ("ID,Type,SKU,Name,Published,In stock?,Parent,color\n1,variable,T,,1,,,Green\n2,variation,T1,,1,1,T,\n", {}),
        ("item_id,title,Farbe\nT1,Tea,Green\n", {"color": "Farbe"}),
        ('{"item_id": "T1", "title": "Tea", "color": "Green"}\n', {}),
    ],
)
def test_columns_that_are_asked_for_are_kept_as_attributes(
    tmp_path: Path, content: str, columns: dict[str, str]
) -> None:
    """Also those of feeds, where a variant leaves out what its product has."""
    path = tmp_path / ("products.jsonl" if content.startswith("{") else "products.csv")
    path.write_text(content)

    row = list(read_catalogue(path, columns, attributes=["color"]))[-1]

    assert (row.item_id, row.item.attributes) == ("T1", {"color": "Green"})
    assert decode_item(encode_item(row.item)) == row.item
    assert "color" not in encode_item(list(read_catalogue(path))[-1].item).decode()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("price", "a field of every item"),
        ("a:b", "none of them a colon"),
        (",".join(f"a{number}" for number in range(17)), "17 attributes are named, more than 16"),
        ("size", "has no column 'size' for size"),
    ],
)
def test_attributes_that_cannot_be_kept_are_refused(tmp_path: Path, names: str, message: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text("item_id,title\nT1,Tea\n")

    assert message in refused("catalogue", path, "--state-dir", tmp_path / "state", "--attributes", names)


def test_values_of_attributes_have_a_length(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text(f"item_id,colour\nT1,{'x' * 201}\nT2,green\n")

    bad, good = read_catalogue(path, attributes=["colour"])

    assert bad.reason == "attribute colour has 201 characters, more than 200"
    assert good.item.attributes == {"colour": "green"}
    with pytest.raises(CatalogueError, match="17 attributes"):
        decode_item(encode_item(good.item.__class__(attributes={f"a{number}": "x" for number in range(17)})))
