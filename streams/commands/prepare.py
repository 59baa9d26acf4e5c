"""The command that compiles the loops ahead, so that nothing waits for it later."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import click


def compile_first() -> None:
    """Compile the loops now if they never were: a command that begins at once would stand at 0 % meanwhile."""
    from streams.engine.ranking import is_compiled

    if is_compiled():
        return
    from streams.workers.warm_up import warm_up

    with tempfile.TemporaryDirectory(prefix="alsobought-") as directory:
        warm_up(Path(directory, "counted"))


@click.command()
def prepare() -> None:
    """Compile the loops now, so that no other command waits for it on this machine.

    It takes about half a minute, the first time and after an update; then nothing is left to do. The compiled loops are
    kept beside the code, or in NUMBA_CACHE_DIR. Images of containers are built with it.
    """
    from state.compiling import compiling
    from state.settings import PAIR_KINDS
    from streams.endpoint.embedded_answers import EmbeddedAnswers
    from streams.endpoint.serving import first_answers
    from streams.engine.embedded import Embedded
    from streams.workers.warm_up import synthetic_orders, warm_up

    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="alsobought-") as directory:
        for pairs in PAIR_KINDS:
            warm_up(Path(directory, "counted"), pairs=pairs)
        embedded = Embedded(Path(directory, "served"))
        try:
            embedded.count(*synthetic_orders())
            asyncio.run(first_answers(EmbeddedAnswers(embedded)))
        finally:
            embedded.close()
    if compiling.loops:
        click.echo(f"{compiling.loops} loops compiled in {time.monotonic() - begun:.0f} s")
    else:
        click.echo("every loop is compiled already")
