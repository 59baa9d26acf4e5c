"""Fixtures that more than one test module uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.brokers import Broker, choose_broker, describe_choice

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker the suite ran on; a report header would not be printed under -q."""
    terminalreporter.write_line(describe_choice())


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for the whole session: topics need names of their own, and nobody stops it."""
    with choose_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker
