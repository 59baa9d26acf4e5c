"""The options of commands that name topics."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

generation_option = click.option(
    "--generation", default="live", help="Name of the state, of several that can be built side by side."
)
_REKEY = click.option(
    "--rekey",
    is_flag=True,
    help="For producers that do not key by customer: copy orders by customer first, and count the copies.",
)


def topic_options(*, generation: bool = False, rekey: bool = False) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """`--topic-prefix` and `--topic`, which the command gets as one argument `topics`, a `Topics`.

    Args:
        generation: whether there is `--generation`, too.
        rekey: whether there is `--rekey`, too.
    """

    def with_options(command: Callable[..., T]) -> Callable[..., T]:
        @click.option(
            "--topic",
            metavar="ROLE=NAME",
            multiple=True,
            envvar="ALSOBOUGHT_TOPIC",
            help="The name of a topic, such as purchases=shop.orders.v2; may be repeated. The others keep theirs.",
        )
        @click.option("--topic-prefix", default="", help="Prefix of every topic and group name.", show_default=True)
        @functools.wraps(command)
        def called(*arguments: object, topic_prefix: str, topic: tuple[str, ...], **options: object) -> T:
            from streams.workers.kafka.errors import TopicsUnfit
            from streams.workers.kafka.topics import Topics

            chosen = {each: options.pop(each) for each in ("generation", "rekey") if each in options}
            try:
                topics = Topics(prefix=topic_prefix, renamed=_by_role(topic), **chosen)  # type: ignore[arg-type]
            except TopicsUnfit as error:
                raise click.UsageError(str(error)) from None
            return command(*arguments, topics=topics, **options)

        for option, is_there in ((_REKEY, rekey), (generation_option, generation)):
            called = option(called) if is_there else called
        return called

    return with_options


def _by_role(names: Iterable[str]) -> dict[str, str]:
    """Role -> name, of the values of `--topic`."""
    found: dict[str, str] = {}
    for each in names:
        role, equals, name = each.partition("=")
        if not (role and equals and name):
            raise click.UsageError(f"--topic is '{each}', not ROLE=NAME, such as purchases=shop.orders.v2")
        if found.setdefault(role, name) != name:
            raise click.UsageError(f"--topic names {role} twice: {found[role]} and {name}")
    return found
