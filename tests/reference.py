"""Writes docs/commands.md, the --help of every command: python -m tests.reference > docs/commands.md."""

from __future__ import annotations

import sys

import click
from click.testing import CliRunner

from streams.cli import main

WIDTH = 100


def help_of(*command: str) -> str:
    """The output of `alsobought COMMAND --help` on a terminal of WIDTH columns."""
    result = CliRunner(env={"COLUMNS": str(WIDTH)}).invoke(
        main, [*command, "--help"], prog_name="alsobought", terminal_width=WIDTH, max_content_width=WIDTH
    )
    assert result.exit_code == 0, result.output
    return result.stdout.rstrip()


def commands(group: click.Command = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The name of every command, including those of nested groups."""
    if not isinstance(group, click.Group):
        return [path]
    context = click.Context(group, info_name="alsobought")
    found = [path]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found += commands(command, (*path, name))
    return found


def reference() -> str:
    """The page."""
    parts = [
        f"## alsobought {' '.join(command)}".rstrip() + f"\n\n```text\n{help_of(*command)}\n```\n"
        for command in commands()
    ]
    return "\n".join(["# Commands\n\nThe `--help` of every command.\n", *parts])


if __name__ == "__main__":
    sys.stdout.write(reference())
