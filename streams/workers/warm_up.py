"""Compiles the loops before a worker joins its consumer groups, not while they rely on it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from mode import Service

from producers.fields import FieldReader
from producers.synthetic import SyntheticShop
from producers.wire import OrderDecoder
from state.key_sorting import sort_keys
from streams.engine.embedded import Embedded

if TYPE_CHECKING:
    from pathlib import Path

    from state.memory import Memory

logger = logging.getLogger(__name__)

_ORDERS = 40
_WORTH_LOGGING_S = 2.0


class WarmUp(Service):
    """Warms up; services that are added after it start when that is done.

    Args:
        directory: for a temporary state, which is removed afterwards; if the worker is killed, by the next one.
        memory: of the worker's stores.
    """

    def __init__(self, directory: Path, memory: Memory) -> None:
        super().__init__()
        self._memory = memory
        self._directory = directory

    async def on_start(self) -> None:
        """Warm up, while the web server answers."""
        await asyncio.to_thread(warm_up, self._directory, self._memory)


def warm_up(directory: Path, memory: Memory | None = None) -> None:
    """Count and rank a few synthetic orders.

    Compiled code is cached on disk, so this takes some 20 s once per machine and half a second later on. A worker that
    compiled when its first orders arrive would miss heartbeats meanwhile, and lose its partitions.
    """
    begun = time.monotonic()
    records = [order.encode() for order in SyntheticShop(seed=0).orders(_ORDERS)]
    orders = OrderDecoder().decode(records, list(range(_ORDERS)), FieldReader()).orders
    shutil.rmtree(directory, ignore_errors=True)
    with closing(Embedded(directory, memory=memory)) as embedded:
        embedded.count(orders, _ORDERS)
        for _ in embedded.publish():
            pass
    sort_keys([np.zeros(1 << 10, np.uint64)])  # so few orders have few keys, which need no compiled sort
    shutil.rmtree(directory, ignore_errors=True)
    took = time.monotonic() - begun
    if took > _WORTH_LOGGING_S:
        logger.info("loaded the compiled loops in %.0f s; the first time on a machine they are compiled", took)
