"""Compiles the loops before a worker joins its consumer groups, not while they rely on it."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from contextlib import closing
from typing import TYPE_CHECKING

from mode import Service

from producers.fields import FieldReader
from producers.synthetic import SyntheticShop
from producers.wire import OrderDecoder
from streams.engine.embedded import Embedded

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_ORDERS = 40
_WORTH_LOGGING_S = 2.0


class WarmUp(Service):
    """Warms up; services that are added after it start when that is done.

    Args:
        directory: for a temporary state, which is removed afterwards; if the worker is killed, by the next one.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    async def on_start(self) -> None:
        """Warm up, while the web server answers."""
        await asyncio.to_thread(warm_up, self._directory)


def warm_up(directory: Path) -> None:
    """Count and rank a few synthetic orders.

    Compiled code is cached on disk, so this takes some 20 s once per machine and half a second later on. A worker that
    compiled when its first orders arrive would miss heartbeats meanwhile, and lose its partitions.
    """
    begun = time.monotonic()
    records = [order.encode() for order in SyntheticShop(seed=0).orders(_ORDERS)]
    orders = OrderDecoder().decode(records, list(range(_ORDERS)), FieldReader()).orders
    shutil.rmtree(directory, ignore_errors=True)
    with closing(Embedded(directory)) as embedded:
        embedded.count(orders, _ORDERS)
        for _ in embedded.publish():
            pass
    shutil.rmtree(directory, ignore_errors=True)
    took = time.monotonic() - begun
    if took > _WORTH_LOGGING_S:
        logger.info("loaded the compiled loops in %.0f s; the first time on a machine they are compiled", took)
