"""The catalogue: read from files as shops have them, kept, and followed while others write."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import catalogue_store
from state.catalogue_store import CatalogueStore, stamp
from streams.catalogue.catalogue import Catalogue, CatalogueError, CatalogueItem, decode_item, encode_item
from streams.catalogue.files import CatalogueRow, read_catalogue
from streams.catalogue.stored import StoredCatalogue, directory_of, fill, set_available

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
catalogue_items = st.builds(
    CatalogueItem,
    title=texts,
    category=texts,
    available=st.booleans(),
    in_stock=st.booleans(),
    group_id=st.sampled_from([None, "", "g", "h"]),
)


def rows(path: Path, **columns: str) -> list[CatalogueRow]:
    return list(read_catalogue(path, columns))


def test_a_csv_file_is_read_with_its_own_column_names(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('sku,name,category,available\n7,"Tea, green",drinks,yes\n8,,,no\n', encoding="utf-8-sig")

    assert rows(path, item_id="sku", title="name") == [
        ("line 2", "7", CatalogueItem("Tea, green", "drinks"), None, 1.0),
        ("line 3", "8", CatalogueItem(available=False), None, 1.0),
    ]


def test_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    lines = tmp_path / "items.jsonl"
    lines.write_text('{"item_id": 7, "title": "Tea"}\n\n{"item_id": "8", "available": false}\n')
    table = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": [7, 8], "title": ["Tea", None], "available": [None, False]}), table)

    wanted = [("7", CatalogueItem("Tea")), ("8", CatalogueItem(available=False))]
    assert [row[1:3] for row in rows(lines)] == wanted
    assert [row[1:3] for row in rows(table)] == wanted


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (",Tea,", "item_id is missing"),
        ("7,Tea,perhaps", "available is 'perhaps', not true or false"),
        ("7,Tea,yes,surplus", "more fields"),
        (f"{'x' * 513},Tea,", "513 bytes"),
        (f"7,{'x' * 1001},", "title has 1001 characters"),
    ],
)
def test_a_bad_row_is_rejected_by_place_and_reason_and_the_rest_is_read(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(f"item_id,title,available\n{line}\n9,Milk,\n")

    bad, good = rows(path)

    assert bad[0] == "line 2"
    assert reason in str(bad[3])
    assert good[1:4] == ("9", CatalogueItem("Milk"), None)


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "//shop", "ftp://shop/x", "http://", "data:text/html,x", "http://[x"]
)
def test_only_web_addresses_are_addresses(address: str) -> None:
    """The page makes links of them."""
    with pytest.raises(CatalogueError, match="not an http or https address"):
        decode_item(encode_item(CatalogueItem(url=address)))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("items.csv", b"sku,name\n7,Tea\n", "no column 'item_id' for item_id, only 'sku', 'name'"),
        ("items.csv", b"", "no column 'item_id'"),
        ("items.csv", b"item_id,title\n7,\x81\x8d\n", "neither UTF-8 nor Western text"),
        ("items.txt", b"", "no known format"),
        ("items.parquet", b"PAR1 nonsense", "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_was_expected(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(CatalogueError, match=words):
        list(read_catalogue(path))
    with pytest.raises(CatalogueError, match="cannot be read"):
        list(read_catalogue(tmp_path / "missing.csv"))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.none() | catalogue_items), max_size=20))
def test_indices_follow_every_change(changes: list[tuple[str, CatalogueItem | None]]) -> None:
    """Availability and categories are asked for at every request, so they are kept, not searched for."""
    catalogue = Catalogue()
    wanted: dict[str, CatalogueItem] = {}
    for item_id, item in changes:
        ids, ids_version = set(wanted), catalogue.ids_version
        catalogue.put(item_id, item)
        wanted.pop(item_id, None)
        if item is not None:
            wanted[item_id] = item

        assert (catalogue.ids_version == ids_version) == (wanted.keys() == ids)
        assert catalogue.items == wanted
        assert catalogue.unavailable == {key for key, value in wanted.items() if not value.available}
        stocked = {value.group_id for value in wanted.values() if value.available and value.in_stock} - {None, ""}
        assert catalogue.sold_out == {
            key
            for key, value in wanted.items()
            if value.available and not value.in_stock and value.group_id not in stocked
        }
        for key in "abc":
            group = wanted[key].group_id if key in wanted else None
            siblings = {other for other, value in wanted.items() if group and value.group_id == group}
            assert set(catalogue.siblings(key)) == siblings
        categories = {value.category for value in wanted.values()} - {None}
        assert catalogue.having.get("category", {}) == {
            name: {key for key, value in wanted.items() if value.category == name} for name in categories
        }


@given(catalogue_items)
def test_what_is_stored_is_what_is_read(item: CatalogueItem) -> None:
    assert decode_item(encode_item(item)) == item


def test_a_written_catalogue_survives_and_is_followed_by_readers(tmp_path: Path) -> None:
    """Whoever serves a state must see an item hidden by another process within a second."""
    catalogue = Catalogue()
    follower = StoredCatalogue(tmp_path, catalogue)
    follower.refresh()
    assert not follower.changed()

    path = tmp_path / "items.csv"
    path.write_text("item_id,title\ntea,Tea\nmilk,Milk\nbad\u0007,\n,x\n")
    filled = fill(tmp_path, read_catalogue(path))
    assert (filled.items, filled.rejected, filled.first) == (3, 1, [("line 5", "item_id is missing")])
    assert follower.changed()
    follower.refresh()
    assert catalogue.get("tea").title == "Tea"

    begun = time.monotonic()
    set_available(tmp_path, {"tea": False, "soap": False})
    assert follower.changed()
    follower.refresh()
    assert time.monotonic() - begun < 1
    assert catalogue.unavailable == {"tea", "soap"}
    assert catalogue.get("tea").title == "Tea"
    assert not follower.changed()

    store = CatalogueStore(directory_of(tmp_path))
    store.write([("milk", None)])
    store.close()
    follower.refresh()
    assert catalogue.items.keys() == {"tea", "soap", "bad\u0007"}
    assert stamp(tmp_path / "nowhere") is None


@given(
    writes=st.lists(st.dictionaries(st.sampled_from("abcdef"), st.none() | catalogue_items, max_size=4), max_size=12),
    followed=st.sets(st.integers(0, 11)),
)
@settings(max_examples=25, deadline=None)
def test_who_follows_now_and_then_ends_with_what_is_stored(
    writes: list[dict[str, CatalogueItem | None]], followed: set[int]
) -> None:
    """Small writes are read one by one, large and forgotten ones from the start; the end is the same."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue_store, "_REMEMBERED_WRITES", 3)
        patch.setattr(catalogue_store, "_LONGEST_NOTE", 2)
        catalogue = Catalogue()
        follower = StoredCatalogue(Path(directory), catalogue)
        wanted: dict[str, CatalogueItem] = {}
        for place, write in enumerate(writes):
            store = CatalogueStore(directory_of(Path(directory)))
            store.write([(key, None if item is None else encode_item(item)) for key, item in write.items()])
            store.close()
            wanted = {key: item for key, item in (wanted | write).items() if item is not None}
            if place in followed:
                assert follower.changed()
                follower.refresh()
                assert catalogue.items == wanted
        follower.refresh()
        assert catalogue.items == wanted
