"""Pair counting as in tutorials: a Faust agent with each customer's items and each item's counts in Tables.

    python -m benchmarks.tutorial_agent BROKER TOPIC DATADIR SECONDS

Runs for SECONDS and prints as JSON how many order lines it counted, and in how many seconds.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any

import faust
from mode import Worker

WINDOW = 100


def build(broker: str, topic: str, datadir: str, seconds: float) -> faust.App:
    """Build the app."""
    app = faust.App(
        "tutorial",
        broker=f"kafka://{broker}",
        store="rocksdb://?driver=rocksdict",
        datadir=datadir,
        topic_partitions=1,
        web_enabled=False,
        topic_disable_leader=True,
        autodiscover=False,
    )
    orders = app.topic(topic, value_type=bytes, value_serializer="raw", key_serializer="raw")
    histories = app.Table("histories", default=list, partitions=1)
    pairs = app.Table("pairs", default=dict, partitions=1)
    counted = {"lines": 0, "began": 0.0, "ended": 0.0}

    @app.agent(orders)
    async def count(stream: Any) -> None:  # noqa: ANN401
        async for value in stream:
            counted["began"] = counted["began"] or time.monotonic()
            order = json.loads(value)
            customer = str(order["customer_id"])
            held = histories[customer]
            for line in order["lines"]:
                item = str(line["item_id"])
                counted["lines"] += 1
                if item in held:
                    continue
                mine = pairs[item]
                for other in held[-WINDOW:]:
                    mine[other] = mine.get(other, 0) + 1
                    theirs = pairs[other]
                    theirs[item] = theirs.get(item, 0) + 1
                    pairs[other] = theirs
                pairs[item] = mine
                held.append(item)
            histories[customer] = held
            counted["ended"] = time.monotonic()

    @app.task  # type: ignore[untyped-decorator]
    async def stop() -> None:
        while counted["began"] == 0.0 or time.monotonic() < counted["began"] + seconds:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        print(json.dumps({"lines": counted["lines"], "seconds": counted["ended"] - counted["began"]}), flush=True)
        await app.stop()
        asyncio.get_running_loop().stop()

    return app


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    Worker(
        build(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])), redirect_stdouts=False
    ).execute_from_commandline()
