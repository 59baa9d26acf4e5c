"""The command line: which commands there are and where they live, and how their errors are told."""

from __future__ import annotations

import errno
import importlib
from typing import Any

import click

from producers.orders import OrderError
from state.errors import StateError

USAGE, INTERRUPTED = 2, 130
"""Exit codes: a usage or input error; stopped by Ctrl-C. 1 says that the answer is no."""

_COMMANDS = {
    "replay": ("replay",),
    "state": ("related", "customer", "erase", "export", "audit"),
    "demo": ("demo",),
    "kafka": ("topics", "worker", "generate", "rejected", "snapshot"),
    "query": ("recommend", "bestsellers", "quality", "serve"),
    "catalogue": ("catalogue",),
}
"""Commands by the module streams.commands that has them, loaded when they are asked for."""

_MODULES = {name: f"streams.commands.{module}" for module, names in _COMMANDS.items() for name in names}
_MODULES["evaluate"] = "evaluation.commands"


class _Commands(click.Group):
    """A group whose commands' modules load on demand, and whose errors are sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_MODULES])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _MODULES:
            command: click.Command = getattr(importlib.import_module(_MODULES[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever the command returns
        try:
            return super().invoke(ctx)
        except (OrderError, StateError) as error:
            failure = click.ClickException(str(error))
            failure.exit_code = USAGE
            raise failure from error
        except KeyboardInterrupt:
            click.echo("stopped; the state, if any, is as of its last commit", err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader, `head` perhaps, has seen enough
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

    Counts purchases into a state directory, exactly, and tells from the counts which items belong together.

    \b
      alsobought demo                                    a year of real grocery purchases
      alsobought replay orders.csv --state-dir state     count a purchase log
      alsobought related ITEM --state-dir state          what is bought together with an item
    """
