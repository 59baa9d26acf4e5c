"""Running the command `alsobought`, in its own process or in this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from streams.cli import main

COMMAND = str(Path(sys.executable).with_name("alsobought"))
BAD_INPUT = 2
INTERRUPTED = 130


def called(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    """Run the command in this process. An exception that would show a traceback fails the test."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def output_of(*arguments: str | Path) -> str:
    """Run a command that must succeed; return its output."""
    result = called(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: str | Path, stdin: bytes | None = None) -> str:
    """Run a command with invalid input; return its error on one line."""
    result = called(*arguments, stdin=stdin)
    assert result.exit_code == BAD_INPUT, result.output
    assert "Traceback" not in result.output
    return " ".join(result.stderr.split())


def ran(*arguments: str | Path, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in its own process; `before` is Python code that runs there first."""
    command = [COMMAND, *map(str, arguments)]
    if before:
        command = [sys.executable, "-c", f"import os, sys\n{before}\nos.execv(sys.argv[1], sys.argv[1:])", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
