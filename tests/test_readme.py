"""The documentation shows what the commands print.

A fenced `console` block of the README is a session: lines that begin with `$ ` are run, one after the other in one
directory, and the lines below each are what it prints. A line `...` stands for any lines. Figures that differ from run
to run (seconds, rates, megabytes) may differ; all other digits may not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click

from streams.cli import main
from streams.engine.scores import SCORES
from tests.reference import commands, reference

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VARYING = re.compile(r"[\d,.]+(?= ?(?:s\b|ms\b|MB\b|GB\b|%|[a-z ]*/s))")


def sessions(text: str) -> list[list[tuple[str, list[str]]]]:
    """The commands and outputs of each console block."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        steps: list[tuple[str, list[str]]] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif steps and steps[-1][0].endswith("\\") and line.startswith("> "):
                steps[-1] = (f"{steps[-1][0][:-1]}{line[2:]}", [])
            else:
                assert steps, f"a console block begins with {line!r}, not with a command"
                steps[-1][1].append(line)
        found.append(steps)
    return found


def steady(line: str) -> str:
    """A line without the figures that differ from run to run.

    >>> steady("1,469 lines in 12.2 s (120,180/s), 27 rejected")
    '1,469 lines in # s (#/s), 27 rejected'
    """
    return VARYING.sub("#", line.rstrip())


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Whether the lines shown are those printed.

    >>> agrees(["a", "...", "c 3 s"], ["a", "b", "b", "c 4 s"]), agrees(["a 1"], ["a 2"]), agrees(["a"], ["a", "b"])
    (True, False, False)
    """
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(steady(line)) + r"\n" for line in shown)
    return re.fullmatch(pattern, "".join(steady(line) + "\n" for line in printed)) is not None


def test_every_session_of_the_readme_shows_what_its_commands_print(tmp_path: Path) -> None:
    """An example that no longer works is worse than none. The sessions of other pages need a server."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    for steps in sessions((ROOT / "README.md").read_text()):
        for command, shown in steps:
            result = subprocess.run(
                ["sh", "-c", command],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )

            assert agrees(shown, result.stdout.splitlines()), f"$ {command}\n{result.stdout}{result.stderr}"


def test_the_reference_of_commands_is_what_help_prints() -> None:
    """To update it: python -m tests.reference > docs/commands.md."""
    assert (ROOT / "docs" / "commands.md").read_text() == reference()


def test_every_command_and_option_is_documented() -> None:
    text = "".join(page.read_text() for page in PAGES)
    context = click.Context(main)
    missing = []
    for path in commands():
        command: click.Command = main
        for name in path:
            assert isinstance(command, click.Group)
            found = command.get_command(context, name)
            assert found is not None
            command = found
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        missing += [f"{' '.join(path)} {option}" for option in options if option not in text]
        missing += [" ".join(path)] * (f"alsobought {' '.join(path)}".rstrip() not in text)

    assert missing == []


def test_every_score_is_documented_and_no_page_counts_them() -> None:
    """A page that says how many there are is wrong once one is added."""
    for page in ("README.md", "CHANGELOG.md", "docs/definition.md"):
        text = (ROOT / page).read_text()

        assert [score for score in SCORES if f"`{score}`" not in text] == []
        assert re.findall(r"\b(?:six|seven|eight|nine|\d+) scores\b", text) == []
