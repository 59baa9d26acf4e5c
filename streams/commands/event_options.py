"""The options that say which events are counted, and which are kept as seeds of recommendations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import click

from producers.errors import OrderError
from producers.event_types import MOST_SEED_TYPES, PURCHASES, checked_event_type

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
SeedWeights = tuple[tuple[str, float], ...]
LARGEST_WEIGHT = 100.0


def event_options(*, stored: bool) -> Callable[[F], F]:
    """Add the options to a command, which takes them as `events` and `seed_weights`; `stored`: None is as stored."""

    def add(command: F) -> F:
        command = click.option(
            "--seed-weights",
            metavar="TYPE=WEIGHT,...",
            default=None if stored else "",
            callback=_weights,
            show_default=False,
            help="Keep the last events of these types of each customer as seeds of recommendations, such as "
            "view=0.2,cart=0.5; a purchase weighs 1. Other weights need no new count.  "
            f"[default: {'as the state has them' if stored else 'none'}]",
        )(command)
        return click.option(
            "--events",
            metavar="TYPE",
            default=None if stored else PURCHASES,
            callback=_event_type,
            show_default=False,
            help="Count events of this type, such as view, in place of purchases; those of other types are skipped.  "
            f"[default: {PURCHASES}]",
        )(command)

    return add


def _event_type(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else checked_event_type(value)
    except OrderError as error:
        raise click.BadParameter(str(error)) from None


def _weights(_: click.Context, __: click.Parameter, value: str | None) -> SeedWeights | None:
    try:
        return None if value is None else seed_weights(value)
    except (OrderError, ValueError) as error:
        raise click.BadParameter(str(error)) from None


def seed_weights(text: str) -> SeedWeights:
    """The types and weights of `view=0.2,cart=0.5`, by name.

    Raises:
        OrderError: something is no type.
        ValueError: something is no weight, or a type is there twice.

    >>> seed_weights("view=0.2, cart=0.5")
    (('cart', 0.5), ('view', 0.2))
    """
    found: dict[str, float] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, number = part.partition("=")
        event = checked_event_type(name)
        if not equals or event in found:
            raise ValueError(f"'{part}' {'is there twice' if equals else 'has no weight'}: {event}=0.2")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not 0 <= weight <= LARGEST_WEIGHT:
            raise ValueError(f"'{number}' is no weight of {event}: a number from 0 to {LARGEST_WEIGHT:g}")
        found[event] = weight
    if len(found) > MOST_SEED_TYPES:
        raise ValueError(f"{len(found)} types are too many: {MOST_SEED_TYPES} at most")
    return tuple(sorted(found.items()))


def check_events(events: str, weights: SeedWeights) -> None:
    """Check that what is counted is not kept as well.

    Raises:
        UsageError: it is.
    """
    if events in dict(weights):
        raise click.UsageError(
            f"--seed-weights names {events}, which is counted: what a customer holds is a seed anyway"
        )
