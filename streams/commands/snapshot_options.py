"""Options of workers about snapshots."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from state.errors import SnapshotFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorated = TypeVar("Decorated", bound=Callable[..., object])

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Duration(click.ParamType):
    """Seconds, from a number with its unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds of a text such as 90s, 30m, 6h or 1d.

        >>> Duration().convert("1.5h", None, None)
        5400.0
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", str(value).strip())
        seconds = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
        if seconds <= 0:
            self.fail(f"'{value}' is no time above 0 with its unit, such as 90s, 30m, 6h or 1d", param, ctx)
        return seconds


_OPTIONS = (
    click.option(
        "--snapshot-root",
        type=click.Path(file_okay=False, path_type=Path),
        help="Directory below which snapshots are written on request.  [default: snapshots, in --state-dir]",
    ),
    click.option(
        "--snapshot-every",
        "snapshot_every_s",
        type=Duration(),
        metavar="DURATION",
        help="Write a snapshot of each store to --snapshot-to as often as this, such as 6h or 30m.  [default: never]",
        show_default=False,
    ),
    click.option(
        "--snapshot-to",
        metavar="DIRECTORY_OR_ADDRESS",
        help="Where to: a directory, or s3://, gs://, abfs:// or hdfs://, the same for all workers. Stores that are "
        "missing or damaged are restored from there.",
    ),
    click.option("--snapshots-kept", default=3, type=click.IntRange(1), help="How many snapshots of each store stay."),
    click.option(
        "--restore-from",
        metavar="DIRECTORY_OR_ADDRESS",
        help="Where snapshots are from which to restore stores that are missing or damaged: a --snapshot-to, a "
        "snapshot, or a directory of snapshots.  [default: --snapshot-to]",
        show_default=False,
    ),
)


def snapshot_options(command: Decorated) -> Decorated:
    """Add the options about snapshots to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def check_snapshots(
    generation: str, *, snapshot_every_s: float | None, snapshot_to: str | None, restore_from: str | None, **_: object
) -> None:
    """Check the options of snapshots before anything starts.

    Raises:
        click.UsageError: they do not fit together, or name no place.
    """
    from state.snapshot_places import SnapshotPlace

    if snapshot_every_s is not None and snapshot_to is None:
        raise click.UsageError("--snapshot-every says when, and nothing says where: add --snapshot-to")
    if restore_from is not None and "://" not in restore_from and not Path(restore_from).is_dir():
        raise click.UsageError(f"--restore-from is '{restore_from}', which is no directory")
    for address in filter(None, (snapshot_to, restore_from)):
        try:
            SnapshotPlace(address, generation)
        except SnapshotFailed as error:
            raise click.UsageError(str(error)) from None
