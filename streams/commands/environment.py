"""What happens when an environment variable contradicts the command line."""

from __future__ import annotations

import click
from click.core import ParameterSource


def only_in_environment(name: str) -> bool:
    """Whether a parameter of the command that runs has a value from the environment, rather than the command line."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.ENVIRONMENT


def drop_contradicted(values: dict[str, object], one: str, other: str) -> None:
    """Of two parameters that exclude each other, drop the one of the environment if the other is on the command line.

    Args:
        values: by name of the parameter; None: it is not given.
        one: name of the one.
        other: name of the other.
    """
    if values.get(one) is None or values.get(other) is None:
        return
    for name, against in ((one, other), (other, one)):
        if only_in_environment(name) and not only_in_environment(against):
            values[name] = None
