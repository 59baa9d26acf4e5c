"""A worker's log: which loggers it shows, from which level, and as what."""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka.errors import ProducerFenced

from streams.endpoint import admin, serving
from streams.workers import tally
from streams.workers.worker_logs import set_up_logs
from tests.sources import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("producers", "streams", "state", "evaluation")


@pytest.fixture(autouse=True)
def _levels_as_before() -> Iterator[None]:
    """Other tests read the log too."""
    names = (None, "streams", "producers", "state", "kafka", "aiokafka")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().handlers[:] = handlers


def named_otherwise(path: Path) -> list[str]:
    """Loggers at the top level of a module that are not named after it."""
    return [
        f"{path.relative_to(ROOT)}: {ast.unparse(statement)}"
        for statement in parsed(path).body
        if isinstance(statement, ast.Assign) and "getLogger" in ast.unparse(statement.value)
        if ast.unparse(statement.value) != "logging.getLogger(__name__)"
    ]


def test_every_logger_is_named_after_its_module() -> None:
    """A logger with a name of its own escapes the settings of its package."""
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]

    assert [found for path in modules for found in named_otherwise(path)] == []


@pytest.mark.parametrize("module", [admin, serving, tally], ids=lambda module: module.__name__)
def test_a_worker_shows_what_its_modules_report(module: object, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(as_json=True)

    module.logger.info("partition %d", 3)  # type: ignore[attr-defined]
    logging.getLogger("asyncio").info("too much detail")

    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record["message"] == "partition 3"
    assert record["logger"] == module.__name__  # type: ignore[attr-defined]


@pytest.mark.parametrize(("error", "lines"), [(ProducerFenced(), 0), (ValueError("ours"), 1)], ids=["client", "ours"])
def test_errors_that_the_kafka_client_keeps_for_itself_are_no_news(
    error: Exception, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fenced producer would end in four tracebacks, beside the line that says what happened."""
    set_up_logs(as_json=True)

    async def abandon() -> None:
        asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()

    asyncio.run(abandon())

    assert len(capsys.readouterr().err.splitlines()) == lines
