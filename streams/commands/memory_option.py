"""The option of the commands that open a state: how much memory its stores may take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from state.errors import BudgetTooSmall

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.memory import MemoryBudget


def budget_of(text: str) -> MemoryBudget:
    """The parts of a memory that somebody gave; from now on Arrow returns what it has freed, instead of keeping it.

    Raises:
        ValueError: it is no size.
        BudgetTooSmall: see `divide`.
    """
    from pyarrow import set_memory_pool, system_memory_pool

    from state.memory import divide, parse_bytes

    set_memory_pool(system_memory_pool())
    return divide(parse_bytes(text))


def _budget(_: click.Context, __: click.Parameter, value: str | None) -> MemoryBudget | None:
    try:
        return None if value is None else budget_of(value)
    except (ValueError, BudgetTooSmall) as error:
        raise click.BadParameter(str(error)) from None


memory_option: Callable[[Any], Any] = click.option(
    "--memory",
    metavar="SIZE",
    callback=_budget,
    help="What the state may take in memory, such as 512MiB or 2GiB; some 300 MB for the program come on top.  "
    "[default: half of what the machine or its cgroup gives]",
    show_default=False,
)
