"""Options of the commands that serve HTTP: where to listen, what requests may call the server, and the token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from streams.endpoint.addresses import HostPort, host_and_port, host_of

if TYPE_CHECKING:
    from collections.abc import Callable

ADMIN = "127.0.0.1:6066"
SHORTEST_SECRET = 16
_LARGEST_PORT = 65_535


def listening_address(text: str) -> HostPort:
    """Host and port of --admin, where port 0 is any free one.

    Raises:
        click.BadParameter: it is not HOST:PORT.
    """
    host, _, port = text.rpartition(":")
    if host_of(host) is None or not (port.isascii() and port.isdigit()) or int(port) > _LARGEST_PORT:
        raise click.BadParameter(f"'{text}' is not HOST:PORT, as in {ADMIN} or [::1]:6066", param_hint="--admin")
    return HostPort(host.strip("[]"), int(port))


def _listening(_: click.Context, __: click.Parameter, value: str) -> str:
    listening_address(value)
    return value


def _reachable(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and host_and_port(value) is None:
        raise click.BadParameter(
            f"'{value}' is not HOST:PORT, as in 10.0.0.7:6066: no scheme, path or user, and a port from 1 to 65535"
        )
    return value


def _host_names(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if host_of(value) is None or (":" in value and not value.startswith("[")):
            raise click.BadParameter(
                f"'{value}' is not the name of a host, as in shop.example, or an IP address, as in 10.0.0.7 or [::1]"
            )
    return values


def _origins(_: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        scheme, host = [*value.split("://", 1), ""][:2]
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        known = scheme in ("http", "https") and value == value.lower() and host_of(name) is not None
        if value != "*" and not known:
            raise click.BadParameter(
                f"'{value}' is not an origin as browsers send it, as in https://shop.example or http://localhost:3000: "
                "in small letters, without path"
            )
    return values


def _usable_token(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    from streams.endpoint.tokens import check_usable

    try:
        check_usable(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return value


def _long_secret(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is not None and len(value) < SHORTEST_SECRET:
        raise click.BadParameter(
            f"the secret has {len(value)} characters, fewer than {SHORTEST_SECRET}: draw one, as with "
            "`openssl rand -hex 32`"
        )
    return value


admin_option: Callable[[Any], Any] = click.option(
    "--admin",
    default=ADMIN,
    show_default=True,
    metavar="HOST:PORT",
    callback=_listening,
    help="Where to serve HTTP. Whoever reaches it can read everything: see docs/security.md.",
)
advertise_option: Callable[[Any], Any] = click.option(
    "--advertise",
    metavar="HOST:PORT",
    callback=_reachable,
    help="Where other workers reach it.  [default: --admin, or the host's name]",
)
allow_host_option: Callable[[Any], Any] = click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    callback=_host_names,
    envvar="ALSOBOUGHT_ALLOW_HOST",
    help="A name by which requests may call this server, such as that of a proxy; may be repeated. Without it: "
    "localhost, and the addresses and names of its own.",
)
read_token_option: Callable[[Any], Any] = click.option(
    "--read-token",
    metavar="TOKEN",
    callback=_usable_token,
    envvar="ALSOBOUGHT_READ_TOKEN",
    help="Required by requests that read; better set as ALSOBOUGHT_READ_TOKEN.  [default: they need none]",
)
cors_origin_option: Callable[[Any], Any] = click.option(
    "--cors-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    callback=_origins,
    envvar="ALSOBOUGHT_CORS_ORIGIN",
    help="Web pages of this origin may ask, as https://shop.example; * for all; may be repeated.  [default: none]",
)
admin_token_option: Callable[[Any], Any] = click.option(
    "--admin-token",
    metavar="TOKEN",
    callback=_usable_token,
    help="Required by requests that write; better set as ALSOBOUGHT_ADMIN_TOKEN.",
)
worker_secret_option: Callable[[Any], Any] = click.option(
    "--worker-secret",
    metavar="SECRET",
    callback=_long_secret,
    help="The same for all workers, which sign with it what they send each other; better set as "
    "ALSOBOUGHT_WORKER_SECRET.  [default: derived from the ids of the topics]",
)
