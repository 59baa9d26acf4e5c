"""The memory that stores may take: its size, its parts, and that RocksDB keeps to them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from state.errors import BudgetTooSmall
from state.memory import LEAST_BYTES, MIB, Memory, MemoryBudget, available_bytes, divide, parse_bytes
from state.rocks import Rocks, WriteBatch
from streams.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("text", ["", "512", "GiB", "1 G", "-1GiB", "1e3MB", "many", "1GiB 2"])
def test_a_size_without_a_unit_is_refused(text: str) -> None:
    """A number alone may be meant in megabytes as well."""
    with pytest.raises(ValueError, match=r"is no size with its unit, such as 512MiB, 1GiB or 1.5GB"):
        parse_bytes(text)


@pytest.mark.parametrize("total", [LEAST_BYTES, 512 * MIB, 10**9 + 7, 1 << 40])
def test_parts_add_up_to_the_budget(total: int) -> None:
    budget = divide(total)

    assert budget.total == total
    assert min(budget.histories, budget.names, budget.waiting_counts, budget.block_cache, budget.write_buffers) > 0


def test_a_budget_that_is_too_small_is_refused_with_what_is_needed() -> None:
    with pytest.raises(BudgetTooSmall, match=r"needs 64MiB, beside .* Give --memory 64MiB or more"):
        divide(LEAST_BYTES - 1000)


@pytest.mark.parametrize(
    ("value", "said"), [("1MiB", "needs 64MiB"), ("plenty", "'plenty' is no size"), ("512", "'512' is no size")]
)
def test_the_command_says_what_is_wrong_with_a_size(value: str, said: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["replay", "log.csv", "--state-dir", str(tmp_path), "--memory", value])

    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cgroup", "files", "limit"),
    [
        ("0::/shop/worker\n", {"shop/memory.max": "900\n", "shop/worker/memory.max": "max\n"}, 900),
        ("0::/shop\n", {"memory.max": "800\n"}, 800),  # in a container the path may be that of the host
        ("4:cpu,cpuacct:/a\n3:memory:/shop\n", {"memory/shop/memory.limit_in_bytes": "700\n"}, 700),
        ("2:memory:/gone\n", {"memory/memory.limit_in_bytes": "600\n"}, 600),
        ("1:name=systemd:/\n", {"memory.max": "500\n"}, None),
    ],
)
def test_the_limit_of_the_cgroup_counts(tmp_path: Path, cgroup: str, files: dict[str, str], limit: int | None) -> None:
    """In a container half of the machine may be more than there is."""
    for name, text in {
        "proc/self/cgroup": cgroup,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    machine = available_bytes(tmp_path / "no Linux")

    assert available_bytes(tmp_path) == (machine if limit is None else limit)
    assert machine > LEAST_BYTES


def budget(**parts: int) -> MemoryBudget:
    return MemoryBudget(
        **{"histories": 0, "names": 0, "waiting_counts": 0, "block_cache": 0, "write_buffers": 0} | parts
    )


def test_stores_share_blocks_and_buffers(tmp_path: Path) -> None:
    """Each of six stores once had 128 MB of blocks and 96 MB of buffers for itself."""
    memory = Memory(budget(block_cache=4 * MIB, write_buffers=16 * MIB))
    stores = [Rocks(tmp_path / str(number), memory=memory) for number in range(6)]
    most = 0
    for number in range(600):
        batch = WriteBatch(raw_mode=True)
        for _ in range(20):
            batch.put(os.urandom(8), os.urandom(10_000))
        stores[number % 6].write(batch)
        most = max(most, memory.write_buffers.get_usage())
    for store in stores:
        store.compact()
        assert sum(len(value) for _, value in store.between(b"\0", b"\xff")) > 18 * MIB

    assert MIB < most < 4 * 16 * MIB, "what is being written to files counts as well"
    assert 0 < memory.block_cache.get_usage() < 1.1 * 4 * MIB
    assert memory.parts()["block_cache"].budget == 4 * MIB
    for store in stores:
        store.close()


def test_what_a_store_knows_of_its_files_is_in_the_block_cache(tmp_path: Path) -> None:
    """Indices and filters grow with the state, and beside the cache nothing would bound them."""
    memory = Memory(budget(block_cache=64 * MIB, write_buffers=16 * MIB))
    store = Rocks(tmp_path / "store", memory=memory)
    batch = WriteBatch(raw_mode=True)
    for number in range(200_000):
        batch.put(b"%08d" % number, b"value")
    store.write(batch)
    store.compact()
    assert store.get(b"00000007") == b"value"
    assert memory.block_cache.get_usage() > 200_000, "1.3 bytes an entry"
    store.close()


FREED = """
import numpy as np
from state.memory import Memory, divide, parse_bytes

def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

memory = Memory(divide(parse_bytes("{budget}")))
blocks = [np.ones(16_384, np.uint8) for _ in range(8_000)]
del blocks[1:-1]
before = resident_mib()
memory._returning._next = 0.0
memory.return_freed()
memory.return_freed()
print(before - resident_mib())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory in its own way")
@pytest.mark.parametrize(("budget", "returned"), [("64MiB", True), ("8GiB", False)])
def test_what_is_freed_between_what_is_in_use_is_returned(budget: str, *, returned: bool) -> None:
    """Glibc keeps it, so that a process grew by a fifth of what it used."""
    script = FREED.replace("{budget}", budget)

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (int(run.stdout) > 100) == returned
