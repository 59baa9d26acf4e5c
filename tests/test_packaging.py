"""What the image contains is the whole command: a wheel built from the files that the Dockerfile copies."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.reference import commands

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HELP = """\
import json, sys
from click.testing import CliRunner
from streams.cli import main

failed = {}
for command in json.load(sys.stdin):
    result = CliRunner().invoke(main, [*command, "--help"], prog_name="alsobought")
    if result.exit_code or "Usage: " + " ".join(["alsobought", *command]) not in result.output:
        failed[" ".join(command)] = result.output + repr(result.exception)
print(json.dumps(failed))
"""


def copied() -> list[str]:
    """Files and directories that the Dockerfile copies into the image."""
    return [
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bin directory of a virtual environment with the wheel and, from this environment, its dependencies."""
    directory = tmp_path_factory.mktemp("image")
    source, environment = directory / "app", directory / "venv"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (source / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    offline = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    build: list[str | Path] = ["wheel", *offline, "--no-build-isolation", "--wheel-dir", directory, source]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    [wheel] = directory.glob("*.whl")
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *offline, wheel], check=True)
    [packages] = (environment / "lib").glob("python*/site-packages")
    # .pth files in a directory that a .pth file names are ignored: the editable install is not found through them
    dependencies = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "dependencies.pth").write_text("\n".join(dependencies))
    yield environment / "bin"
    shutil.rmtree(directory)


def test_the_image_has_every_package_that_is_distributed() -> None:
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}

    assert packages <= set(copied())


def test_what_is_sent_to_the_builder_is_what_is_copied() -> None:
    """A state, a virtual environment or a .git beside the code is neither sent nor copied by accident."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert lines[0] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())


def test_the_image_has_what_its_commands_need() -> None:
    """The demo brings a broker and a year of purchases; nobody runs it in a container."""
    [extras] = re.findall(r"\(the extras (.+?)\)", (ROOT / "requirements.image.lock").read_text())
    ours = PROJECT["project"]["optional-dependencies"].keys() - {"demo", "test", "bench", "dev"}

    assert set(extras.split(" and ")) == ours


def test_every_command_of_the_image_prints_its_help(installed: Path, tmp_path: Path) -> None:
    """A package that the image lacks is found out by the command that imports it."""
    names = json.dumps([command for command in commands() if command])
    result = subprocess.run(
        [installed / "python", "-c", HELP], input=names, capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {}


def test_evaluate_runs_in_the_image(installed: Path, tmp_path: Path) -> None:
    """It imports its packages only once it runs."""
    result = subprocess.run(
        [installed / "alsobought", "evaluate", "missing.csv"], capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert result.returncode == 2
    assert "missing.csv" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_image_has_the_files_of_the_page(installed: Path) -> None:
    [packages] = installed.parent.glob("lib/python*/site-packages")
    page = packages / "streams" / "endpoint" / "page"

    assert {path.name for path in page.iterdir()} >= {"index.html", "app.js", "page.css"}
