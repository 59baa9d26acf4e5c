"""Options from environment variables: for every command, under names that one can guess, below the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from streams.cli import main
from tests.commands import called, output_of, refused
from tests.live_shop import write_stopped_shop
from tests.reference import commands

if TYPE_CHECKING:
    from pathlib import Path


def options() -> list[tuple[str, click.Option]]:
    """Every option of every command, with the command's name."""
    context = click.Context(main)
    found = []
    for path in commands():
        command: click.Command | None = main
        for name in path:
            assert isinstance(command, click.Group)
            command = command.get_command(context, name)
        assert command is not None
        found += [(" ".join(path), option) for option in command.params if isinstance(option, click.Option) and path]
    return found


def test_every_option_has_a_variable_of_its_name() -> None:
    without = []
    for command, option in options():
        names = {f"ALSOBOUGHT_{name[2:].replace('-', '_').upper()}" for name in option.opts if name.startswith("--")}
        variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
        readers_of_another = option.name == "token" and variables == ["ALSOBOUGHT_READ_TOKEN"]
        if not names & set(variables) and not readers_of_another:
            without.append(f"{command} {option.opts[0]}")

    assert without == []


@pytest.fixture(name="state_dir", scope="module")
def _state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("state")
    write_stopped_shop(path)
    return path


def test_variables_stand_for_options(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = output_of("related", "tea", "--state-dir", state_dir, "--limit", "1", "--json")
    monkeypatch.setenv("ALSOBOUGHT_STATE_DIR", str(state_dir))
    monkeypatch.setenv("ALSOBOUGHT_LIMIT", "1")
    monkeypatch.setenv("ALSOBOUGHT_JSON", "true")

    assert output_of("related", "tea") == shown


def test_the_command_line_stands_above_a_variable_that_contradicts_it(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has set where the worker is can still ask a state, and the other way round."""
    monkeypatch.setenv("ALSOBOUGHT_URL", "http://127.0.0.1:9")
    assert "milk" in output_of("related", "tea", "--state-dir", state_dir)
    monkeypatch.setenv("ALSOBOUGHT_STATE_DIR", str(state_dir))
    assert "does not answer" in refused("related", "tea", "--url", "http://127.0.0.1:9")
    assert "give either" in refused("related", "tea")

    log = tmp_path / "orders.csv"
    log.write_text("customer_id,item_id,timestamp\nann,tea,2025-01-01\n")
    monkeypatch.setenv("ALSOBOUGHT_BROKER", "127.0.0.1:9")
    assert "1 lines read" in output_of("replay", log, "--state-dir", tmp_path / "shop")
    monkeypatch.setenv("ALSOBOUGHT_BROKER_TIMEOUT", "0.1")
    assert "127.0.0.1:9" in called("replay", log, "--broker", "127.0.0.1:9").output


def test_the_live_demo_takes_no_state_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSOBOUGHT_STATE_DIR", "shop")
    monkeypatch.setenv("ALSOBOUGHT_SPEED", "nonsense")

    assert "--speed is 'nonsense'" in refused("demo")
