"""The query commands: on a stopped state, on a running endpoint, and their messages about mistakes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from state.catalogue_store import CatalogueStore
from streams.catalogue.catalogue import encode_item
from streams.catalogue.stored import set_available
from streams.cli import main
from tests.live_shop import CATALOGUE, Shop, open_shop, write_stopped_shop
from tests.served import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stopped")
    write_stopped_shop(path)
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("running")) as shop:
        yield shop


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), "a traceback is no message"
    return result.exit_code, result.stdout, result.stderr


def document(*arguments: object) -> dict[str, Any]:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def catalogued(state_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of the running shop, with a catalogue in which milk is unavailable."""
    path = tmp_path_factory.mktemp("catalogued") / "state"
    shutil.copytree(state_dir, path)
    store = CatalogueStore(path / "catalogue")
    store.write([(item_id, encode_item(item)) for item_id, item in CATALOGUE.items()])
    store.close()
    set_available(path, {"milk": False})
    return path


@pytest.mark.parametrize(
    "question",
    [
        ("related", "tea"),
        ("related", "tea", "--limit", "50"),
        ("related", "soap", "--limit", "3"),
        ("related", "honey"),  # only in the catalogue
        ("customer", "c3"),
        ("customer", "c3", "--limit", "2"),
        ("recommend", "c2", "--exclude", "odd1", "--basket", "odd2"),
        ("recommend", "c3", "--limit", "50", "--keep-held", "--repeats-share", "0.6", "--reasons", "2"),
        ("recommend", "nobody", "--category", "drinks"),
        ("bestsellers", "--days", "7"),
        ("bestsellers", "--category", "drinks"),
    ],
)
def test_a_state_and_an_endpoint_give_the_same_document(
    catalogued: Path, shop: Shop, question: tuple[str, ...]
) -> None:
    """A question has one answer, from a state or a worker: titles, availability and limits included."""
    shop.run(show(shop, "milk", available=False))
    try:
        stopped = document(*question, "--state-dir", catalogued)
        running = document(*question, "--url", shop.url)
    finally:
        shop.run(show(shop, "milk", available=True))

    assert list(stopped) == list(running)
    assert stopped.pop("worker") == str(catalogued)
    assert running.pop("worker") == "shop"
    assert stopped == running


async def show(shop: Shop, item_id: str, *, available: bool) -> None:
    shop.catalogue.put(item_id, msgspec.structs.replace(shop.catalogue.get(item_id), available=available))


def test_an_unavailable_item_is_in_no_list_of_a_state(catalogued: Path) -> None:
    listed = document("related", "tea", "--state-dir", catalogued, "--limit", "50")["related"]

    assert listed
    assert "milk" not in [entry["item_id"] for entry in listed]


def test_the_last_items_of_a_customer_are_shown_and_the_others_counted(state_dir: Path) -> None:
    code, out, _ = run("customer", "c3", "--state-dir", state_dir, "--limit", "2")

    lines = out.rstrip("\n").split("\n")  # an id may contain other line separators
    held = document("customer", "c3", "--state-dir", state_dir)["items_held"]
    assert code == 0
    assert len(lines) == 4
    assert lines[-1] == f"  and {held - 2} bought before these: --limit shows more"


def test_recommendations_are_a_table_with_reasons(shop: Shop) -> None:
    code, out, _ = run("recommend", "c2", "--url", shop.url, "--limit", "3")

    assert code == 0
    assert "Whole milk milk" in out
    assert re.search(r"\d+% popularity", out)


def test_a_stranger_gets_bestsellers(state_dir: Path) -> None:
    code, out, _ = run("recommend", "nobody", "--state-dir", state_dir)

    assert code == 0
    assert "no history: bestsellers for" in out


def test_nothing_to_recommend_is_a_no(state_dir: Path) -> None:
    assert run("recommend", "c2", "--state-dir", state_dir, "--category", "none")[0] == 1
    assert run("bestsellers", "--state-dir", state_dir, "--category", "none")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("recommend", "c2"), "give either --state-dir"),
        (("recommend", "c2", "--url", "http://127.0.0.1:9", "--state-dir", "x"), "give either --state-dir"),
        (("recommend", "c2", "--url", "http://127.0.0.1:9"), "does not answer"),
        (("recommend", "c2", "--url", "file:///etc/passwd"), "not an http or https address"),
        (("bestsellers", "--url", "http://127.0.0.1:9", "--days", "61"), "--days"),
        (("catalogue", "--state-dir", "x"), "name a FILE"),
        (("catalogue", "missing.csv", "--state-dir", "x"), "cannot be read"),
        (("catalogue", "items.csv", "--state-dir", "x", "--columns", "name"), "FIELD=COLUMN"),
        (("catalogue", "items.csv", "--state-dir", "x", "--columns", "name=x"), "no field"),
        (("catalogue", "--state-dir", "x", "--available", "a", "--unavailable", "a"), "both name 'a'"),
        (("serve", "--state-dir", "x", "--admin", "6066"), "HOST:PORT"),
    ],
)
def test_a_mistake_is_explained_with_exit_code_2(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    code, _, err = run(*arguments)

    assert code == 2
    assert words in err


def test_an_endpoint_that_is_another_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("streams.endpoint.client.TIMEOUT_S", 0.2)
        code, _, err = run("bestsellers", "--url", f"http://127.0.0.1:{server.getsockname()[1]}")

    assert code == 2
    assert "does not answer" in err


def test_a_taken_address_is_named(state_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = run("serve", "--state-dir", state_dir, "--admin", f"127.0.0.1:{taken.getsockname()[1]}")

    assert code == 2
    assert "cannot listen on" in err


def test_the_catalogue_is_filled_and_items_are_hidden(state_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    file.write_text("sku,name\ntea,Green tea\n,nameless\n")

    code, out, err = run("catalogue", file, "--state-dir", state_dir, "--columns", "item_id=sku,title=name")
    assert code == 1
    assert "1 items in the catalogue" in out
    assert "line 3: item_id is missing" in err

    assert run("catalogue", "--state-dir", state_dir, "--unavailable", "soap")[0] == 0
    best = document("bestsellers", "--state-dir", state_dir)["bestsellers"]
    assert "soap" not in [entry["item_id"] for entry in best]
    assert "Green tea" in [entry.get("title") for entry in best]
    assert run("catalogue", "--state-dir", state_dir, "--available", "soap")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_state_is_served_until_one_stops_it(state_dir: Path, number: signal.Signals) -> None:
    """An item hidden by another process disappears within a second; a signal stops the server cleanly."""
    with serving(state_dir) as server:

        def shown() -> bool:
            return "soap" in [entry["item_id"] for entry in server.document("bestsellers")["bestsellers"]]

        def within_a_second(wanted: bool) -> bool:
            deadline = time.monotonic() + 1
            while shown() is not wanted and time.monotonic() < deadline:
                time.sleep(0.02)
            return shown() is wanted

        assert shown()
        run("catalogue", "--state-dir", state_dir, "--unavailable", "soap")
        assert within_a_second(wanted=False)
        run("catalogue", "--state-dir", state_dir, "--available", "soap")
        assert within_a_second(wanted=True)
        server.stopped(number)
