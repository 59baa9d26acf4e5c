"""Shared fixtures, and which test files are slow or measure time."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests.brokers import ApacheKafka, Broker, choose_broker, describe_choice
from tests.commands import ran
from tests.crashes import Crashes
from tests.groceries import write_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.registries import Registry
    from tests.secured_kafka import SecuredKafka

collect_ignore = ["fuzzing/guided.py"]  # needs atheris, which only runs by hand use

SLOW_FILES = {
    "test_format_rows.py": 70,
    "test_export.py": 60,
    "test_worker.py": 98,
    "test_readme.py": 88,
    "test_unfenced_worker.py": 82,
    "test_worker_guards.py": 82,
    "test_embedded.py": 80,
    "test_worker_chaos.py": 76,
    "test_commit_crashes.py": 67,
    "test_topic_watch.py": 64,
    "test_damaged_state.py": 59,
    "test_recommend.py": 58,
    "test_replay_kill.py": 65,
    "test_formats_cut.py": 54,
    "test_placement.py": 54,
    "test_standby.py": 52,
    "test_recovery.py": 51,
    "test_prequential.py": 50,
    "test_simulation.py": 36,
    "test_relatedness.py": 48,
    "test_audit.py": 46,
    "test_cli.py": 42,
    "test_compressed_records.py": 40,
    "test_worker_page.py": 36,
    "test_demo.py": 80,
    "test_serving.py": 60,
    "test_deployment.py": 15,
    "test_order_log.py": 35,
    "test_retention.py": 32,
    "test_page.py": 60,
    "test_pair_epochs.py": 5,
    "test_shared_settings.py": 31,
    "test_worker_takeover.py": 31,
    "test_self_tuned.py": 29,
    "test_rekey.py": 28,
    "test_import.py": 80,
    "test_import_formats.py": 40,
    "test_inspect_topic.py": 40,
    "test_schema_records.py": 12,
    "test_co_purchases.py": 80,
    "test_topic_names.py": 25,
    "test_faults.py": 26,
    "test_damages.py": 25,
    "test_foreign_records.py": 17,
    "test_evaluation_report.py": 15,
    "test_merging.py": 14,
    "test_brokers.py": 13,
    "test_snapshot_schedule.py": 12,
    "test_worker_strangers.py": 12,
    "test_worker_rules.py": 11,
    "test_worker_events.py": 10,
    "test_readme_kafka.py": 10,
    "test_inflation.py": 9,
    "test_worker_stages.py": 8,
    "test_packaging.py": 8,
    "test_order_scoring.py": 8,
    "test_worker_openapi.py": 7,
    "test_publish.py": 5,
    "test_rocks_files.py": 4,
    "test_resending.py": 4,
    "test_formats_damage.py": 3,
    "test_stage_service.py": 3,
    "test_worker_answers.py": 45,
    "test_catalogue_feed.py": 13,
    "test_query_commands.py": 4,
    "test_catalogue.py": 2,
    "test_kafka_config.py": 30,
    "test_kafka_rights.py": 35,
    "test_events.py": 30,
    "test_environment.py": 32,
    "test_connections.py": 45,
}
"""Seconds that files of tests take, measured on two cores; those that start a broker are among them."""
TIMED_FILES = {
    "test_kafka_config.py",
    "test_worker_answers.py",
    "test_catalogue_feed.py",
    "test_query_commands.py",
    "test_catalogue.py",
}
"""Slow files that assert how soon something happens, within a second or less: they run when nothing else does."""

# the first call of a compiled loop compiles it, and an example may open many stores
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow and timed files, and start the slowest first, so that parallel runs end together."""
    for item in items:
        if item.path.name in SLOW_FILES:
            item.add_marker("slow")
        if item.path.name in TIMED_FILES:
            item.add_marker("timed")
    items.sort(key=lambda item: -SLOW_FILES.get(item.path.name, 0))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - xdist's own types
    """With `-n`, give each process whole files, in order: fixtures of a file, such as workers, start once."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - only with -n

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which broker the suite runs on; a report header is not printed under -q."""
    terminalreporter.write_line(describe_choice())


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker for the whole session: tests use topics of their own and never stop it."""
    with choose_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(broker: Broker) -> Broker:
    """The session's broker, if workers can use it."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("workers write in transactions, which needs Apache Kafka")
    return broker


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A schema registry for the whole session: tests register subjects of their own."""
    from tests.registries import Registry  # noqa: PLC0415 - few files need it

    if not all(map(shutil.which, ("java", "mvn"))) and os.environ.get("CI") != "true":
        pytest.skip("a schema registry takes Java and Maven")
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="session")
def grocery_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first lines of the grocery log, with returns, invalid lines and duplicate orders."""
    return write_prefix(tmp_path_factory.mktemp("groceries") / "orders.csv")


@pytest.fixture(scope="session")
def grocery_state(grocery_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That log replayed in one go by the command; tests that change it work on a copy."""
    state_dir = tmp_path_factory.mktemp("state") / "groceries"
    result = ran("replay", grocery_log, "--state-dir", state_dir)
    assert result.returncode == 0, result.stderr
    return state_dir


@pytest.fixture(scope="module")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    """A broker that asks for TLS, passwords, certificates and rights."""
    from tests.secured_kafka import SecuredKafka  # noqa: PLC0415 - makes certificates, which few files need

    with SecuredKafka(tmp_path_factory.mktemp("secured")) as broker:
        yield broker


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crashes]:
    """Crashes at the steps of commits."""
    crashes = Crashes(monkeypatch)
    yield crashes
    crashes.let_go()
