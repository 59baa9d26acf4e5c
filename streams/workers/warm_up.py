"""Compiles the loops before a worker joins its consumer groups, not while they rely on it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mode import Service

from producers.fields import FieldReader
from producers.synthetic import SyntheticShop
from producers.wire import OrderDecoder
from state.compiling import compiling
from state.key_sorting import sort_keys
from state.settings import CUSTOMER, CountingSettings
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.ranking import is_compiled
from streams.engine.scores import Scoring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from producers.orders import Orders
    from state.memory import Memory

logger = logging.getLogger(__name__)

_ORDERS = 40
_WORTH_LOGGING_S = 2.0


class WarmUp(Service):
    """Warms up; services that are added after it start when that is done.

    Args:
        directory: for a temporary state, which is removed afterwards; if the worker is killed, by the next one.
        memory: of the worker's stores.
        pairs: what the worker counts pairs of.
    """

    def __init__(self, directory: Path, memory: Memory, pairs: str) -> None:
        super().__init__()
        self._pairs = pairs
        self._memory = memory
        self._directory = directory

    async def on_start(self) -> None:
        """Warm up, while the web server answers."""
        compiling.on_first = logger.info
        await asyncio.to_thread(warm_up, self._directory, self._memory, self._pairs)


def warm_up(directory: Path, memory: Memory | None = None, pairs: str = CUSTOMER) -> None:
    """Count and rank a few synthetic orders, with the loops for pairs of customers or of orders.

    Compiled code is cached on disk, so this takes some 20 s once per machine and half a second later on. A worker that
    compiled when its first orders arrive would miss heartbeats meanwhile, and lose its partitions.
    """
    begun = time.monotonic()
    shutil.rmtree(directory, ignore_errors=True)
    with (
        compiling.every_loop(),
        _ranking_compiled(directory) as wait,
        closing(Embedded(directory, CountingSettings(pairs=pairs), memory=memory)) as embedded,
    ):
        embedded.count(*synthetic_orders())
        sort_keys([np.zeros(1 << 10, np.uint64)])  # so few orders have few keys, which need no compiled sort
        wait()
        for _ in embedded.publish():
            pass
    shutil.rmtree(directory, ignore_errors=True)
    took = time.monotonic() - begun
    if took > _WORTH_LOGGING_S:
        logger.info("loaded the compiled loops in %.0f s; the first time on a machine they are compiled", took)


def synthetic_orders() -> tuple[Orders, int]:
    """A few orders, and the log position behind them."""
    records = [order.encode() for order in SyntheticShop(seed=0).orders(_ORDERS)]
    return OrderDecoder().decode(records, list(range(_ORDERS)), FieldReader()).orders, _ORDERS


@contextmanager
def _ranking_compiled(directory: Path) -> Iterator[Callable[[], object]]:
    """Have another process compile the loops that rank, meanwhile, if they are not cached; yield what waits for it.

    They are the larger half, and nothing else can use a second core: numba compiles one loop at a time.
    """
    if is_compiled():
        yield lambda: None
        return
    script = "import sys; from streams.workers.warm_up import compile_ranking; compile_ranking(sys.argv[1])"
    path = directory.with_name(f"{directory.name}-ranking")
    with subprocess.Popen([sys.executable, "-P", "-c", script, path], stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            yield process.wait  # if it failed, the loops are compiled here
        finally:
            process.kill()
            shutil.rmtree(path, ignore_errors=True)


def compile_ranking(directory: str) -> None:
    """Compile the loops that rank: the list of an item of which nothing is counted."""
    with closing(Embedded(Path(directory))) as embedded:
        (counts,) = embedded.counts
        counts.names.number(["nothing"])
        Ranker(counts, Scoring()).lists(np.zeros(1, np.uint32))
