"""A shop whose admin endpoint runs in this process, on a state that accepts orders without Kafka."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from producers.fields import FieldReader
from producers.wire import OrderDecoder
from state.settings import CountingSettings
from streams.catalogue.catalogue import Catalogue, CatalogueItem
from streams.endpoint.connections import ConnectionLimits
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.serving import listen
from streams.engine.embedded import Embedded
from streams.quality.offers import offers
from streams.quality.prequential import Prequential
from tests.batch_definition import DAY_MS, Line, Order
from tests.log_strategies import as_orders

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from aiohttp.web import Application

TOKEN = "let-me-in"  # noqa: S105 - a test's
BEGIN_MS = 19_770 * DAY_MS
HOSTILE_IDS = (
    "a/b",
    "a b",
    "quo\"te's",
    "<script>alert(1)</script>",
    "crème brûlée 🍮",
    "50%25 off?&#x",
    "back\\slash",
    "..%2F..",
    "x" * 512,
    "é" * 256,
    "line\u2028break",
    "a+b;c=d,e",
)


def shop_log() -> list[Order]:
    """Forty customers. Tea and milk are related, and so are tea and the hostile ids; everyone buys soap."""
    log = []
    for number in range(40):
        lines = [Line("soap"), Line(f"odd{number % 7}")]
        if number % 2:
            lines += [Line("tea"), Line("milk")]
        if number % 3 == 0:
            lines += [Line("tea"), *[Line(item) for item in HOSTILE_IDS]]
        log.append(Order(f"c{number}", BEGIN_MS + number * DAY_MS // 4, tuple(lines), f"o{number}"))
    for number, customer in enumerate(HOSTILE_IDS):
        log.append(Order(customer, BEGIN_MS + 11 * DAY_MS + number, (Line("milk"), Line("odd1")), f"h{number}"))
    return log


def write_stopped_shop(state_dir: Path) -> None:
    """Write the stores of the shop, and close them."""
    embedded = Embedded(state_dir, CountingSettings())
    embedded.count(as_orders(shop_log()), len(shop_log()))
    list(embedded.publish())
    embedded.close()


CATALOGUE = {
    "tea": CatalogueItem(title="Green tea", category="drinks"),
    "milk": CatalogueItem(
        title="Whole milk",
        category="drinks",
        url="https://shop.example/milk",
        image="https://shop.example/milk.jpg",
        price="1.09 EUR",
        brand="Meadow",
        attributes={"colour": "white", "size": "1 l"},
    ),
    "soap": CatalogueItem(title="<img src=x onerror=alert(1)>", category="bath & body"),
    "honey": CatalogueItem(title="Forest honey"),
}


class Shop:
    """A shop. Only `run` may touch its state.

    Attributes:
        answers: of the endpoint.
        catalogue: what it shows.
        url: where the endpoint is, once it runs.
        app: the endpoint as an application, once it runs.
    """

    def __init__(self, state_dir: Path, log: list[Order], partitions: int = 1) -> None:
        self.embedded = Embedded(state_dir, CountingSettings(item_partitions=partitions))
        self.embedded.count(as_orders(log), len(log))
        list(self.embedded.publish())
        self.catalogue = Catalogue(CATALOGUE)
        self.answers = EmbeddedAnswers(self.embedded, self.catalogue, "shop", self.produce)
        self.url = ""
        self.app: Application | None = None
        self.loop = asyncio.new_event_loop()
        self._decoder = OrderDecoder()
        self._score = Prequential(partial(offers, self.embedded.counts), self.embedded.settings.pair_window, 1).score

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the endpoint."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    async def produce(self, _customer_id: str, record: bytes) -> dict[str, Any]:
        """Count an order or an erasure at once, in place of a log and a worker."""
        position = self.embedded.purchases_offset
        decoded = self._decoder.decode([record], [position], FieldReader())
        assert not decoded.rejected
        self.embedded.count(decoded.orders, position + 1, scorer=self._score)
        list(self.embedded.publish())
        self.answers.counted(decoded.orders.items)
        return {"partition": 0, "offset": position}

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what it returns
        """Run a coroutine on the shop's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


@contextmanager
def open_shop(
    state_dir: Path,
    log: list[Order] | None = None,
    settings: AdminSettings | None = None,
    limits: ConnectionLimits | None = None,
) -> Iterator[Shop]:
    """Open a shop whose endpoint a thread serves on a free port."""
    shop = Shop(state_dir, shop_log() if log is None else log)
    thread = threading.Thread(target=shop.loop.run_forever)
    thread.start()
    try:
        settings, limits = settings or AdminSettings(token=TOKEN), limits or ConnectionLimits()
        runner = shop.run(listen(shop.answers, settings, "127.0.0.1", 0, limits))
        shop.app = runner.app
        shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield shop
        shop.run(runner.cleanup())
    finally:
        shop.loop.call_soon_threadsafe(shop.loop.stop)
        thread.join()
        shop.loop.close()
        shop.embedded.close()
