"""Where logs may be: several files, directories, patterns, partitions, pipes; each read as a file by itself is."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from streams.cli import main
from tests.commands import COMMAND, called, output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

HEAD = "customer_id,item_id,timestamp\n"


def lines(*names: str, day: int = 2, month: int = 1) -> str:
    return "".join(f"{name},tea,2024-{month:02}-{day:02}\n" for name in names)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def export_of(state: Path) -> bytes:
    """All lists of a state, with the counts behind them."""
    out = state.parent / f"{state.name}.jsonl"
    output_of("export", "--state-dir", state, "--out", out)
    return out.read_bytes()


def holders(state: Path, item: str = "tea") -> int:
    return int(json.loads(output_of("related", item, "--state-dir", state, "--json"))["buyers"])


def command_of(log: Path | str, *options: str) -> list[str]:
    """The command that `inspect` prints."""
    command: list[str] = json.loads(called("inspect", log, "--json", *options).stdout)["command"]
    return command


@pytest.fixture(name="directory")
def _directory(tmp_path: Path) -> Path:
    """Three days, with what jobs leave beside them."""
    directory = tmp_path / "orders"
    written(directory / "part-9.csv", HEAD + lines("ann", "bob"))
    written(directory / "part-10.csv", HEAD + lines("cy", day=3))
    written(directory / "z" / "part-11.csv", HEAD + lines("dan", "eve", day=4))
    written(directory / "part-12.csv", "")
    for name in ("_SUCCESS", ".part-9.csv.crc", "part-9.csv.crc", "_temporary/0/part-13.csv", ".hidden.csv"):
        written(directory / name, "no,log\n1,2\n")
    return directory


@pytest.mark.parametrize("form", ["directory", "pattern", "deep pattern", "files"])
def test_the_files_of_a_directory_are_counted_in_the_order_of_their_names(
    directory: Path, tmp_path: Path, form: str
) -> None:
    forms: dict[str, list[Path | str]] = {
        "directory": [directory],
        "pattern": [f"{directory}/part-[91]*.csv", f"{directory}/z"],
        "deep pattern": [f"{directory}/**/*.csv"],
        "files": [directory / "part-9.csv", directory / "part-10.csv", directory / "z" / "part-11.csv"],
    }
    logs = forms[form]
    if form == "deep pattern":
        (directory / "_temporary" / "0" / "part-13.csv").unlink()
    state = tmp_path / "state"

    assert "5 lines read, 5 counted" in output_of("replay", *logs, "--state-dir", state)
    assert holders(state) == 5
    assert "nothing new" in output_of("replay", *logs, "--state-dir", state)

    one = written(tmp_path / "one.csv", HEAD + lines("ann", "bob") + lines("cy", day=3) + lines("dan", "eve", day=4))
    output_of("replay", one, "--state-dir", tmp_path / "whole")
    assert export_of(state) == export_of(tmp_path / "whole")


def test_a_directory_that_has_grown_is_counted_on(directory: Path, tmp_path: Path) -> None:
    """Each file is a log of its own: one may grow, and others come."""
    state = tmp_path / "state"
    output_of("replay", directory, "--state-dir", state)

    with (directory / "z" / "part-11.csv").open("a") as file:
        file.write(lines("fay", day=5))
    written(directory / "z" / "part-12.csv", HEAD + lines("gus", "hal", day=6))

    assert "3 lines read" in output_of("replay", directory, "--state-dir", state)
    assert holders(state) == 8


def test_inspect_prints_the_command_that_reads_a_directory(directory: Path, tmp_path: Path) -> None:
    document = json.loads(output_of("inspect", directory, "--json"))

    assert (document["files"], document["command"]) == (3, ["replay", str(directory)])
    assert "5 lines read" in output_of(*document["command"], "--state-dir", tmp_path / "state")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_the_keys_of_partitions_are_columns(tmp_path: Path, ending: str) -> None:
    for month in (1, 2):
        for day in (3, 14):
            path = tmp_path / "orders" / "year=2023" / f"month={month:02}" / f"day={day}" / f"part{ending}"
            path.parent.mkdir(parents=True)
            rows = [(f"c{month}{day}", "tea"), (f"d{month}{day}", "mug")]
            if ending == ".csv":
                path.write_text("customer_id,item_id\n" + "".join(f"{who},{what}\n" for who, what in rows))
                continue
            records = [{"customer_id": who, "item_id": what} for who, what in rows]
            if ending == ".parquet":
                pq.write_table(pa.Table.from_pylist(records), path)
            else:
                path.write_text("".join(json.dumps(record) + "\n" for record in records))

    message = refused("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")
    assert "--columns timestamp=year+month+day" in message
    command = command_of(tmp_path / "orders")
    assert command == ["replay", str(tmp_path / "orders"), "--columns", "timestamp=year+month+day",
                       "--timestamp-format", "year-first"]  # fmt: skip
    assert "8 lines read, 8 counted" in output_of(*command, "--state-dir", tmp_path / "state")
    found = json.loads(output_of("customer", "c214", "--state-dir", tmp_path / "state", "--json"))
    assert found["history"][0]["first"].startswith("2023-02-14T00:00:00")


def test_partitions_that_no_field_is_read_from_cost_nothing(tmp_path: Path) -> None:
    """Such files are read the fast way, and a file moved to another partition is the same log."""
    path = written(tmp_path / "orders" / "shop=north" / "a.csv", HEAD + lines("ann", "bob"))
    state = tmp_path / "state"
    output_of("replay", tmp_path / "orders", "--state-dir", state)

    path.rename(written(tmp_path / "orders" / "shop=south" / "a.csv", ""))

    assert "nothing new" in output_of("replay", tmp_path / "orders", "--state-dir", state)


def test_a_partition_may_say_who_bought_and_what_happened(tmp_path: Path) -> None:
    for event, customer in (("addtocart", "ann"), ("transaction", "bob"), ("view", "cy")):
        path = tmp_path / "log" / f"event={event}" / f"customer_id={customer}" / "a.csv"
        written(path, "item_id,timestamp\ntea,2024-01-02\nmug,2024-01-02\n")

    message = refused("replay", tmp_path / "log", "--state-dir", tmp_path / "state")

    assert "which values of event are purchases?" in message
    chosen = ("--purchases", "event=transaction")
    out = output_of("replay", tmp_path / "log", *chosen, "--state-dir", tmp_path / "state")
    assert "2 lines read, 2 counted" in out
    assert "4 lines skipped" in out
    assert holders(tmp_path / "state") == 1
    assert called("customer", "bob", "--state-dir", tmp_path / "state").exit_code == 0


def test_a_partition_of_nothing_is_missing(tmp_path: Path) -> None:
    written(tmp_path / "log" / "customer_id=ann" / "a.csv", "item_id,timestamp\ntea,2024-01-02\n")
    written(
        tmp_path / "log" / "customer_id=__HIVE_DEFAULT_PARTITION__" / "a.csv", "item_id,timestamp\ntea,2024-01-02\n"
    )
    written(tmp_path / "log" / "customer_id=k%C3%B6nig" / "a.csv", "item_id,timestamp\ntea,2024-01-02\n")

    out = output_of("replay", tmp_path / "log", "--state-dir", tmp_path / "state")

    assert "3 lines read, 2 counted" in out
    assert "customer_id is missing" in out
    assert called("customer", "könig", "--state-dir", tmp_path / "state").exit_code == 0


def test_files_of_one_name_in_several_directories_are_logs_of_their_own(tmp_path: Path) -> None:
    """They once had one name in the state, so that the second took the place of the first."""
    for number, customer in enumerate(("ann", "bob", "cy"), 1):
        written(tmp_path / "orders" / f"day={number}" / "part.csv", HEAD + lines(customer, day=number))
    state = tmp_path / "state"
    output_of("replay", tmp_path / "orders", "--state-dir", state)

    assert "nothing new" in output_of("replay", tmp_path / "orders", "--state-dir", state)
    with (tmp_path / "orders" / "day=1" / "part.csv").open("a") as file:
        file.write(lines("dan", day=4))
    assert "1 lines read" in output_of("replay", tmp_path / "orders", "--state-dir", state)
    assert holders(state) == 4


def test_a_file_of_a_directory_decides_how_the_dates_of_all_are_written(tmp_path: Path) -> None:
    """The first week of a month leaves open which number is the day."""
    written(tmp_path / "orders" / "01.csv", HEAD + "ann,tea,3/1/2024\nbob,tea,4/1/2024\n")
    written(tmp_path / "orders" / "02.csv", HEAD + "cy,tea,5/1/2024\ndan,tea,25/1/2024\n")

    assert "month-first" in refused("replay", tmp_path / "orders" / "01.csv", "--state-dir", tmp_path / "one")
    result = called("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")
    assert "4 lines read, 4 counted" in result.stdout
    assert "dates are day-first, as" in result.stderr
    assert "02.csv shows" in result.stderr
    found = json.loads(output_of("customer", "ann", "--state-dir", tmp_path / "state", "--json"))
    assert found["history"][0]["first"].startswith("2024-01-03")
    assert command_of(tmp_path / "orders")[2:] == ["--timestamp-format", "day-first"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("cy,tea,1/5/2024\ndan,tea,1/25/2024\n", "02.csv writes its dates month-first, the other files of"),
        ("cy,tea,2024-01-25\ndan,tea,2024-01-26\n", "02.csv is not written as the other files of"),
    ],
)
def test_a_file_that_contradicts_the_others_is_named_before_any_is_counted(
    tmp_path: Path, other: str, message: str
) -> None:
    written(tmp_path / "orders" / "01.csv", HEAD + "ann,tea,13/1/2024\nbob,tea,14/1/2024\n")
    written(tmp_path / "orders" / "02.csv", HEAD + other)

    assert message in refused("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")
    assert message in refused("inspect", tmp_path / "orders")
    assert called("customer", "ann", "--state-dir", tmp_path / "state").exit_code != 0


def test_later_files_are_read_as_those_counted_before(tmp_path: Path) -> None:
    """A file of a later day that leaves open which number is the day is not asked about."""
    written(tmp_path / "orders" / "01.csv", HEAD + "ann,tea,13/1/2024\n")
    output_of("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")
    written(tmp_path / "orders" / "02.csv", HEAD + "bob,tea,1/2/2024\n")

    output_of("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")

    found = json.loads(output_of("customer", "bob", "--state-dir", tmp_path / "state", "--json"))
    assert found["history"][0]["first"].startswith("2024-02-01")


def test_files_out_of_order_are_noticed_before_anything_is_counted(tmp_path: Path) -> None:
    """Each is in order by itself, so that no look at one of them finds it."""
    january = written(tmp_path / "b.csv", HEAD + lines("ann", day=2))
    february = written(tmp_path / "a.csv", HEAD + lines("bob", month=2))
    state = tmp_path / "state"

    message = refused("replay", tmp_path / "[ab].csv", "--state-dir", state)

    assert "b.csv begins at 2024-01-02 00:00:00, before the end of" in message
    assert "nothing was counted" in message
    output_of("replay", tmp_path / "[ab].csv", "--state-dir", state, "--sort")
    output_of("replay", january, february, "--state-dir", tmp_path / "named")
    output_of("replay", february, january, "--state-dir", tmp_path / "other", "--as-it-stands")
    assert export_of(state) == export_of(tmp_path / "named")


def test_a_third_file_that_cannot_be_read_costs_nothing(tmp_path: Path) -> None:
    written(tmp_path / "orders" / "1.csv", HEAD + lines("ann"))
    written(tmp_path / "orders" / "2.csv", HEAD + lines("bob", day=3))
    written(tmp_path / "orders" / "3.csv", "this is no log\n")

    assert "3.csv" in refused("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")
    (tmp_path / "orders" / "3.csv").unlink()
    assert "2 lines read" in output_of("replay", tmp_path / "orders", "--state-dir", tmp_path / "state")


@pytest.mark.parametrize("name", ["missing.csv", "missing/*.csv", "empty"])
def test_a_location_that_holds_nothing_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    assert str(tmp_path / name) in refused("replay", tmp_path / name, "--state-dir", tmp_path / "state")
    assert str(tmp_path / name) in refused("inspect", tmp_path / name)


@pytest.mark.parametrize("mark", ["_delta_log/0.json", ".hoodie/x", "metadata/v1.metadata.json"])
def test_a_table_whose_files_hold_deleted_rows_is_refused(directory: Path, tmp_path: Path, mark: str) -> None:
    written(directory / mark, "{}")

    assert "may hold rows that it has no more" in refused("replay", directory, "--state-dir", tmp_path / "state")


def test_a_name_with_the_signs_of_a_pattern_is_a_file(tmp_path: Path) -> None:
    path = written(tmp_path / "orders [1].csv", HEAD + lines("ann"))

    assert "1 lines read" in output_of("replay", path, "--state-dir", tmp_path / "state")


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("pack", [False, True])
def test_standard_input_is_a_log_known_by_its_rows(tmp_path: Path, name: str, pack: bool) -> None:
    def piped(text: str, *arguments: str | Path) -> Result:
        data = gzip.compress(text.encode()) if pack else text.encode()
        return CliRunner().invoke(main, [str(argument) for argument in arguments], input=data)

    state = tmp_path / "state"
    text = HEAD + lines("ann", "bob")
    assert "2 lines read, 2 counted" in piped(text, "replay", name, "--state-dir", state).stdout
    assert "nothing new" in piped(text, "replay", name, "--state-dir", state).stdout
    assert "1 lines read" in piped(text + lines("cy", day=3), "replay", name, "--state-dir", state).stdout
    assert holders(state) == 3
    assert json.loads(piped(text, "inspect", name, "--json").stdout)["command"] == ["replay", name]
    message = "Error: standard input holds no rows below its header\n"
    assert piped("no log\n", "replay", name, "--state-dir", state).stderr == message
    assert "standard input is empty" in piped("", "replay", name, "--state-dir", tmp_path / "other").stderr
    assert list(state.glob(".replay-*")) == []


def test_a_pipe_of_the_shell_is_a_log(tmp_path: Path) -> None:
    """Such as <(zcat orders.csv.gz): it cannot be read twice."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    process = subprocess.Popen(
        [COMMAND, "replay", str(pipe), "--state-dir", str(tmp_path / "state")], stdout=subprocess.PIPE
    )
    pipe.write_text(HEAD + lines("ann", "bob"))

    assert b"2 lines read" in process.communicate(timeout=300)[0]
