"""Erased customers: nobody comes back, from whatever log, into this state or another."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.commands import called, output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "customer_id,item_id,timestamp,quantity,type\n"
ORDERS = "ann,tea,2024-01-01,1,\nbob,tea,2024-01-02,1,\nann,rye,2024-01-03,1,\nbob,rye,2024-01-04,1,\n"


def written(path: Path, text: str) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa_csv.read_csv(pa.py_buffer((HEAD + text).encode())), path)
    elif path.suffix == ".jsonl":
        rows = [dict(zip(HEAD.strip().split(","), row.split(","), strict=True)) for row in text.splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path.write_text(HEAD + text)
    return path


def known(state: Path, customer: str) -> bool:
    return called("customer", customer, "--state-dir", state).exit_code == 0


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("options", [[], ["--sort"]])
def test_a_line_of_a_log_erases(tmp_path: Path, ending: str, options: list[str]) -> None:
    log = written(tmp_path / f"orders{ending}", ORDERS + "ann,,2024-01-05,,Erase\nann,oat,2024-01-06,1,\n")
    state = tmp_path / "state"

    output_of("replay", log, "--state-dir", state, *options)

    [entry] = json.loads(output_of("customer", "ann", "--state-dir", state, "--json"))["history"]
    assert entry["item_id"] == "oat"
    output_of("audit", "--state-dir", state)


def test_an_erased_customer_comes_back_from_no_log_into_no_state(tmp_path: Path) -> None:
    log, state, other = written(tmp_path / "orders.csv", ORDERS), tmp_path / "state", tmp_path / "other"
    output_of("replay", log, "--state-dir", state)
    output_of("erase", "ann", "--state-dir", state)

    again = written(tmp_path / "again.csv", "cy,tea,2024-01-01,1,\n" + ORDERS)
    assert "2 lines of erased customers left out" in output_of("replay", again, "--state-dir", state, "--as-it-stands")
    assert not known(state, "ann")
    assert known(state, "cy")

    listed = tmp_path / "erasures.jsonl"
    listed.write_text(output_of("erasures", "--state-dir", state))
    assert "ann" not in re.sub(r'"key":"[0-9a-f]*"|"digest":"[0-9a-f]*"', "", listed.read_text())
    for _ in range(2):
        output_of("replay", log, "--state-dir", other, "--erasures", listed)
        assert not known(other, "ann")
        assert known(other, "bob")
    output_of("audit", "--state-dir", other)
    assert sorted(output_of("erasures", "--state-dir", other).splitlines()) == listed.read_text().splitlines()
    output_of("replay", again, "--state-dir", other, "--as-it-stands")
    assert not known(other, "ann"), "the list is kept"


def test_a_customer_who_orders_after_the_erasure_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, state = written(tmp_path / "orders.csv", ORDERS), tmp_path / "state"
    output_of("replay", log, "--state-dir", state)
    monkeypatch.setattr("time.time", lambda: 1_704_412_800.0)  # 2024-01-05
    output_of("erase", "ann", "--state-dir", state)
    monkeypatch.undo()

    log.write_text(log.read_text() + "ann,oat,2024-01-04,1,\nann,tea,2024-01-06,1,\n")
    output_of("replay", log, "--state-dir", state)

    [entry] = json.loads(output_of("customer", "ann", "--state-dir", state, "--json"))["history"]
    assert (entry["item_id"], entry["first"][:10]) == ("tea", "2024-01-06")


def test_rejected_lines_of_an_erased_customer_do_not_say_what_was_ordered(tmp_path: Path) -> None:
    log, state, other = tmp_path / "orders.csv", tmp_path / "state", tmp_path / "other"
    written(log, ORDERS + "ann,secret,2024-01-04,0,\nbob,tea,2024-01-04,0,\n")
    output_of("replay", log, "--state-dir", state)
    output_of("erase", "ann", "--state-dir", state)
    assert "secret" not in (state / "rejected.jsonl").read_text()
    listed = tmp_path / "erasures.jsonl"
    listed.write_text(output_of("erasures", "--state-dir", state))

    output_of("replay", log, "--state-dir", other, "--erasures", listed)

    rejects = [json.loads(line) for line in (other / "rejected.jsonl").read_text().splitlines()]
    assert [one["record"] == "" for one in rejects] == [True, False]
    assert rejects[0]["reason"].endswith("; of an erased customer")


def test_a_list_comes_before_the_orders_and_is_one(tmp_path: Path) -> None:
    """Half of a customer's orders would stay."""
    log, state, other = written(tmp_path / "orders.csv", ORDERS), tmp_path / "state", tmp_path / "other"
    output_of("replay", log, "--state-dir", state)
    output_of("replay", log, "--state-dir", other)
    output_of("erase", "ann", "--state-dir", state)
    listed = tmp_path / "erasures.jsonl"
    listed.write_text(output_of("erasures", "--state-dir", state))

    assert "names 1 customers whose orders this state has counted" in refused(
        "replay", log, "--state-dir", other, "--erasures", listed
    )
    assert "is not a list of erasures" in refused("replay", log, "--state-dir", tmp_path / "new", "--erasures", log)
