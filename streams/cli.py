"""The command line: its commands, the modules that define them, and how their errors are printed."""

from __future__ import annotations

import errno
import importlib
import keyword
from typing import Any

import click

from producers.errors import ProducerError
from state.compiling import compiling
from state.errors import StateError

USAGE, INTERRUPTED = 2, 130
"""Exit codes: a usage or input error; interrupted by Ctrl-C. 1 means that the answer is no."""

_PREFIX = "ALSOBOUGHT_"
_COMMANDS = {
    "replay": ("replay",),
    "inspect": ("inspect",),
    "prepare": ("prepare",),
    "state": ("related", "customer", "erase", "erasures", "export", "audit"),
    "demo": ("demo",),
    "kafka": ("topics", "worker", "rejected", "snapshot"),
    "imports": ("import",),
    "generate": ("generate",),
    "query": ("recommend", "bestsellers", "quality"),
    "serving": ("serve",),
    "catalogue": ("catalogue",),
}
"""Module of streams.commands -> its commands. A module is imported when one of its commands is."""

_MODULES = {name: f"streams.commands.{module}" for module, names in _COMMANDS.items() for name in names}
_MODULES["evaluate"] = "evaluation.commands"


def _name_variables(command: click.Command) -> None:
    """Have each option of a command take its value from the environment: that of `--state-dir` is ALSOBOUGHT_STATE_DIR.

    Options that name variables themselves keep these.
    """
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.envvar is None:
            name = next(option for option in parameter.opts if option.startswith("--"))
            parameter.envvar = _PREFIX + name.removeprefix("--").replace("-", "_").upper()
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _name_variables(each)


class _Commands(click.Group):
    """A group that imports its commands on demand and prints their errors as sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_MODULES])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES:
            name = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
            command: click.Command = getattr(importlib.import_module(_MODULES[cmd_name]), name)
            _name_variables(command)
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        try:
            return super().invoke(ctx)
        except (ProducerError, StateError) as error:
            failure = click.ClickException(str(error))
            failure.exit_code = USAGE
            raise failure from error
        except KeyboardInterrupt:
            click.echo("interrupted; the state, if any, is as of its last commit", err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader, such as `head`, has closed the pipe
                raise
            failure = click.ClickException(f"{error.filename or 'the disk'}: {error.strerror or error}")
            failure.exit_code = USAGE
            raise failure from error


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.version_option(package_name="alsobought")
def main() -> None:
    """Streaming item-to-item recommendations: customers who bought this also bought.

    Counts purchases exactly, in a state directory, and computes from the counts which items are bought together.

    \b
      alsobought demo                                    a year of real grocery purchases
      alsobought replay orders.csv --state-dir shop      count a purchase log
      alsobought related ITEM --state-dir shop           what is bought together with an item
    """
    compiling.on_first = lambda words: click.echo(words, err=True)
