"""The README's commands for Kafka work as they are written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from streams.demo.ports import free_port
from tests.brokers import ApacheKafka, Broker
from tests.commands import COMMAND
from tests.workers import PATIENCE_S

ROOT = Path(__file__).parent.parent
SECTION = "## Run it on Kafka"


def commands() -> list[str]:
    """The lines of the section's first block of commands."""
    readme = (ROOT / "README.md").read_text()
    if SECTION not in readme:
        pytest.skip(f"README.md has no section '{SECTION}'")
    [block] = re.findall(r"```bash\n(.+?)```", readme.split(SECTION)[1].split("\n## ")[0], re.DOTALL)[:1]
    return [line for line in block.splitlines() if line.startswith("alsobought")]


def test_the_commands_of_the_readme_work_one_after_another(broker: Broker, tmp_path: Path) -> None:
    """What a newcomer types must work; the test changes only the broker's address and the worker's port."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("workers write in transactions, which takes Apache Kafka")
    (tmp_path / "orders.csv").write_text("customer_id,item_id,timestamp\nann,tea,2025-01-01\nann,milk,2025-01-02\n")
    (tmp_path / "products.csv").write_text("item_id,title\ntea,Tea\n")
    environment = os.environ | {"ALSOBOUGHT_ADMIN": f"127.0.0.1:{free_port()}"}
    background = []
    try:
        for line in commands():
            shell = line.replace("alsobought", COMMAND, 1).replace("127.0.0.1:9092", broker.bootstrap)
            if shell.endswith("&"):
                background.append(subprocess.Popen(shell.removesuffix("&").split(), cwd=tmp_path, env=environment))
                time.sleep(6)  # a newcomer is no faster
                continue
            done = subprocess.run(
                shell.split(),
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        for worker in background:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(PATIENCE_S) for worker in background] == [0] * len(background)
    finally:
        for worker in background:
            worker.kill()
            worker.wait()
