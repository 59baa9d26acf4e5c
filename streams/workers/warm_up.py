"""Compiling before the group counts on a worker, not while it does."""

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
_WORTH_TELLING_S = 2.0


class WarmUp(Service):
    """Warms up; services that are added behind it start when that is done.

    Args:
        directory: for a state that is gone afterwards, or after the next time.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    async def on_start(self) -> None:
        """Warm up, while the web server answers."""
        await asyncio.to_thread(warm_up, self._directory)


def warm_up(directory: Path) -> None:
    """Count and rank a few orders of no shop.

    What is compiled is kept on disk, so this takes some 20 s once on a machine and half a second later on. A worker
    that compiled when its first orders came would hardly get to its heartbeats meanwhile, and be taken for dead.
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
    if took > _WORTH_TELLING_S:
        logger.info("what counts and ranks was loaded in %.0f s; the first time on a machine it is compiled", took)
