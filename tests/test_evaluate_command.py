from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from evaluation.commands import evaluate
from tests.shops import shop, write_log

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

SOME = "default,popularity,difference,customers-full"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(evaluate, [str(argument) for argument in arguments])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path / "orders.csv", shop())


def test_results_have_the_documented_form(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(log, "--systems", SOME, "--out", out, "--cutoffs", "2", "--at", "3")

    assert result.exit_code == 0, result.output
    found = json.loads((out / "results.json").read_text())
    assert found["protocol"]["cutoffs"] == 2
    assert list(found["systems"])[:2] == ["default", "bestsellers-14d"]
    for system in found["systems"].values():
        assert system["seconds"] >= 0
        for metric in ("hit@3", "recall@20", "ndcg@20"):
            assert 0 <= system[metric]["low"] <= system[metric]["mean"] <= system[metric]["high"] <= 1
    assert "**default**" in (out / "table.md").read_text()


def test_the_report_is_self_contained(log: Path, tmp_path: Path) -> None:
    """It is sent by mail, and opened without a network."""
    run(log, "--systems", SOME, "--out", tmp_path / "out", "--cutoffs", "2")
    report = (tmp_path / "out" / "report.html").read_text()

    assert report.count("<svg") == 3
    assert not re.search(r"(src|href)=|url\(|@import", report)
    assert set(re.findall(r"https?://[^\"' ]+", report)) == {"http://www.w3.org/2000/svg"}


def test_an_interrupted_evaluation_continues_where_it_stopped(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = run(log, "--systems", SOME, "--out", out, "--cutoffs", "2")
    before = json.loads((out / "results.json").read_text())
    finished = sorted((out / "outcomes").glob("*.npz"))
    kept = {path: path.stat().st_mtime_ns for path in finished[::2]}
    for path in finished[1::2]:
        path.unlink()
    again = run(log, "--systems", SOME, "--out", out, "--cutoffs", "2")

    assert whole.exit_code == again.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    after = json.loads((out / "results.json").read_text())
    for name, system in before["systems"].items():
        for metric in ("hit@6", "recall@20", "ndcg@20"):
            assert after["systems"][name][metric] == system[metric]


def test_outcomes_of_another_protocol_are_not_mixed(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(log, "--systems", "default", "--out", out, "--cutoffs", "1")
    result = run(log, "--systems", "default", "--out", out, "--cutoffs", "1", "--seed", "7")
    assert result.exit_code == 2
    assert "holds outcomes with seed 0, now 7: set it back to add systems to them" in result.output


def test_columns_are_mapped_as_in_other_commands(tmp_path: Path) -> None:
    path = write_log(tmp_path / "orders.csv", shop())
    path.write_text(path.read_text().replace("customer_id", "household", 1))
    assert run(path, "--systems", "default", "--columns", "customer_id=household").exit_code == 0
    result = run(path, "--systems", "default")
    assert result.exit_code == 2
    assert "--columns customer_id=household" in result.output


def test_any_kind_of_log_is_evaluated_as_the_plain_one(log: Path, tmp_path: Path) -> None:
    """Months in directories, other separators and dates: the same purchases give the same figures."""
    header, *lines = log.read_text().splitlines()
    half = len(lines) // 2
    for number, part in enumerate((lines[:half], lines[half:])):
        path = tmp_path / "log" / f"part-{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([header, *part]).replace(",", ";") + "\n")
    for name, logs in (("plain", log), ("parts", tmp_path / "log")):
        result = run(logs, "--systems", "default,popularity", "--out", tmp_path / name, "--cutoffs", "1")
        assert result.exit_code == 0, result.output

    plain, parts = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("plain", "parts"))
    for name, system in plain["systems"].items():
        assert parts["systems"][name]["hit@6"] == system["hit@6"]


def test_outcomes_of_another_log_that_begins_alike_are_not_mixed(log: Path, tmp_path: Path) -> None:
    """A log was once known by its first megabyte."""
    header, first, *rest = log.read_text().splitlines(keepends=True)
    log.write_text(header + first * 40_000 + "".join(rest))
    assert run(log, "--systems", "popularity", "--out", tmp_path / "out", "--cutoffs", "1").exit_code == 0

    log.write_text(log.read_text() + log.read_text().splitlines()[-1] + "\n")
    result = run(log, "--systems", "popularity", "--out", tmp_path / "out", "--cutoffs", "1")

    assert result.exit_code == 2
    assert "holds outcomes" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--systems", "defualt"], "there is no system 'defualt' (did you mean default?)"),
        (["--cutoffs", "30"], "too short for 30 cutoffs"),
        (["--horizon", "2w"], "'2w' is not a number of days like 14d"),
        (["--columns", "customer_id"], "'customer_id' is not FIELD=COLUMN"),
    ],
)
def test_an_impossible_evaluation_is_explained_in_a_sentence(log: Path, arguments: list[str], message: str) -> None:
    result = run(log, *arguments)
    assert result.exit_code == 2
    assert message in re.sub(r"\s+", " ", result.output)


def test_without_the_extra_the_command_says_how_to_install_it(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    monkeypatch.delitem(sys.modules, "evaluation.systems.autoencoder", raising=False)
    monkeypatch.delitem(sys.modules, "evaluation.systems.registry", raising=False)
    for name in ("evaluation.run", "evaluation.results", "evaluation.report", "evaluation.tables"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    result = run(log)
    assert result.exit_code != 0
    assert "pip install 'alsobought[evaluation]'" in result.output
