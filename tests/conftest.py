"""Fixtures that more than one test module uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.brokers import ApacheKafka, Broker, choose_broker, describe_choice
from tests.commands import ran
from tests.groceries import write_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# the first call of a loop compiles it, and a store is opened by many an example
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the suite ran on; a report header would not be printed under -q."""
    terminalreporter.write_line(describe_choice())


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for the whole session: topics need names of their own, and nobody stops it."""
    with choose_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(broker: Broker) -> Broker:
    """The session's broker, if workers can use it."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("workers write in transactions, which takes Apache Kafka")
    return broker


@pytest.fixture(scope="session")
def grocery_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of the grocery log, with returns, bad lines and an order sent twice."""
    return write_prefix(tmp_path_factory.mktemp("groceries") / "orders.csv")


@pytest.fixture(scope="session")
def grocery_state(grocery_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That log replayed in one go by the command; tests that change it work on a copy."""
    state_dir = tmp_path_factory.mktemp("state") / "groceries"
    result = ran("replay", grocery_log, "--state-dir", state_dir)
    assert result.returncode == 0, result.stderr
    return state_dir
