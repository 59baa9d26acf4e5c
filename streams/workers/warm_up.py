"""Compiling before the group counts on a worker, not while it does."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from producers.synthetic import SyntheticShop
from producers.timestamps import TimestampReader
from producers.wire import OrderDecoder
from streams.embedded import Embedded

logger = logging.getLogger(__name__)

_ORDERS = 40
_WORTH_TELLING_S = 2.0


def warm_up() -> None:
    """Count and rank a few orders of no shop, in a directory that is gone afterwards.

    What is compiled is kept on disk, so this takes some 20 s once on a machine and half a second later on. A worker
    that compiled when its first orders came would hardly get to its heartbeats meanwhile, and be taken for dead.
    """
    begun = time.monotonic()
    records = [order.encode() for order in SyntheticShop(seed=0).orders(_ORDERS)]
    orders = OrderDecoder().decode(records, list(range(_ORDERS)), TimestampReader(None)).orders
    with TemporaryDirectory(prefix="alsobought-") as directory:
        embedded = Embedded(Path(directory))
        embedded.count(orders, _ORDERS)
        lists = sum(embedded.publish())
        embedded.close()
    took = time.monotonic() - begun
    if took > _WORTH_TELLING_S:
        logger.info(
            "compiled what counts and ranks, and tried it on %d lists: %.0f s, once on this machine", lists, took
        )
