"""The command that serves a state without Kafka: as it stands, as others count into it, or with orders sent to it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from state.settings import PAIR_KINDS
from streams.commands.memory_option import memory_option
from streams.commands.prepare import compile_first
from streams.commands.serving_options import (
    admin_option,
    admin_token_option,
    allow_host_option,
    cors_origin_option,
    listening_address,
    read_token_option,
)

if TYPE_CHECKING:
    from state.memory import MemoryBudget

USAGE = 2


@click.command()
@click.option(
    "--state-dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory of the counted state.",
)
@click.option("--watch", is_flag=True, help="Follow what `alsobought replay` counts into it meanwhile.")
@click.option(
    "--write", is_flag=True, help="Take orders and erasures, and count them; makes the state if it is missing."
)
@click.option(
    "--pairs",
    type=click.Choice(PAIR_KINDS),
    help="With --write: what a state that is missing counts pairs of, customers or orders.  [default: customer]",
)
@click.option(
    "--log",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --write: directory of the files that orders are written to before they are counted.  "
    "[default: --state-dir with -orders]",
)
@admin_option
@allow_host_option
@cors_origin_option
@admin_token_option
@read_token_option
@memory_option
def serve(
    state_dir: Path,
    watch: bool,
    write: bool,
    pairs: str | None,
    log: Path | None,
    admin: str,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    admin_token: str | None,
    read_token: str | None,
    memory: MemoryBudget | None,
) -> None:
    """Serve a state without Kafka: the admin endpoint and its page.

    The state is served as it is, or, with --watch, as `alsobought replay` changes it. With --write this process counts
    the orders that are sent to it: POST /v1/orders, and DELETE /v1/customers/ID for erasures, with the --admin-token.
    It answers once an order is in the log, on the disk, and counted. What is in the log is counted after any crash, and
    `alsobought replay LOG --as-it-stands` counts it again into another state.

    \b
      alsobought serve --state-dir shop
      alsobought serve --state-dir shop --watch --admin 0.0.0.0:6066 --allow-host shop.example
      ALSOBOUGHT_ADMIN_TOKEN=$(openssl rand -hex 16) alsobought serve --state-dir shop --write
    """
    from state.memory import Memory
    from state.settings import CountingSettings
    from streams.endpoint.handlers import AdminSettings
    from streams.endpoint.serving import CannotListen, serve_state
    from streams.engine.embedded import Embedded, open_to_read, settings_of
    from streams.offline.order_log import OrderLog

    if write and admin_token is None:
        raise click.UsageError("--write changes the state, for whoever has the token: set ALSOBOUGHT_ADMIN_TOKEN")
    if write and watch:
        raise click.UsageError("with --write nobody else counts into the state: omit --watch")
    if log is not None and not write:
        raise click.UsageError("--log is written with --write: omit one, or give both")
    if pairs is not None and not write:
        raise click.UsageError("--pairs is of a state that --write makes: omit it, the state says what it counts")
    settings = AdminSettings(token=admin_token, hosts=hosts, read_token=read_token, origins=origins)
    held = Memory(memory)
    at = listening_address(admin)
    compile_first()
    if write:
        stored = settings_of(state_dir) or CountingSettings()
        embedded = Embedded(state_dir, replace(stored, pairs=pairs or stored.pairs), memory=held)
    else:
        embedded = open_to_read(state_dir, held)
    with ExitStack() as opened:
        opened.callback(embedded.close)
        directory = log or state_dir.with_name(f"{state_dir.name}-orders")
        sink = OrderLog(embedded, state_dir, directory) if write else None
        opened.pop_all()  # from here on the server closes it
    again = partial(open_to_read, state_dir, held) if watch else None
    try:
        with sink or nullcontext():
            asyncio.run(serve_state(embedded, state_dir, at, settings, click.echo, opened=again, sink=sink))
    except CannotListen as error:
        failure = click.ClickException(str(error))
        failure.exit_code = USAGE
        raise failure from error
    except KeyboardInterrupt:
        click.echo("stopped")
