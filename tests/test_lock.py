"""requirements.lock is what CI installs: every declared dependency is in it, pinned and hashed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINS = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", LOCK, re.MULTILINE))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, other than of itself."""
    texts = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    texts += [text for name, extra in EXTRAS.items() if name != "dev" for text in extra]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != "alsobought"]


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_every_declared_dependency_is_pinned_as_declared(requirement: Requirement) -> None:
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_the_image_s_lock_is_a_part_of_the_other(tmp_path: Path) -> None:
    """It is computed from what is installed, which is what the other pins."""
    for name in (".ci/lock.py", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run([sys.executable, tmp_path / ".ci" / "lock.py", "--image"], check=True)

    assert (tmp_path / "requirements.image.lock").read_text() == (ROOT / "requirements.image.lock").read_text()


def test_every_pin_has_hashes() -> None:
    requirements = re.split(r"^(?=[^# ])", LOCK, flags=re.MULTILINE)[1:]

    assert len(requirements) == len(PINS)
    assert all("--hash=sha256:" in requirement for requirement in requirements)


def test_it_names_no_index_and_no_path() -> None:
    """Where packages come from is the machine's business."""
    pins = re.sub(r"^#.*$", "", LOCK, flags=re.MULTILINE)

    assert not set("/@") & set(pins)
    assert "://" not in LOCK


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / ".ci" / "lock.py", "--check"], capture_output=True, text=True, check=False
    )


def test_it_is_current() -> None:
    assert check(ROOT).stderr == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"click>=8.1",', '"click>=8.2",'),
        ('"pytest>=8",', ""),
        (">=3.11", ">=3.12"),
        ("setuptools>=77", "setuptools>=78"),
    ],
)
def test_the_check_finds_a_declaration_that_changed(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    for name in (".ci/lock.py", "requirements.lock", "requirements.image.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text().replace(old, new))

    result = check(tmp_path)

    assert result.returncode == 1
    assert "run python .ci/lock.py" in result.stderr
