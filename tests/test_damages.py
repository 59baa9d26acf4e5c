"""A quick selection of `python -m tests.damages`: what RocksDB would open as if nothing were wrong, and a plain one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.damages import DAMAGES, KilledShop

if TYPE_CHECKING:
    from tests.brokers import Broker

BY_NAME = {f"{damage.files} {damage.what}": damage for damage in DAMAGES}
ASIDE = "set aside"


@pytest.fixture(scope="module", name="shop")
def _shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> KilledShop:
    return KilledShop(kafka, tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize(
    ("store", "damage", "result"),
    [
        ("counts-0", "MANIFEST-* without its last records", ASIDE),
        ("histories-0", "MANIFEST-* an older one, named by CURRENT", ASIDE),
        ("counts-0", "*.log garbled", "opened"),
    ],
)
def test_a_worker_recovers_by_itself(shop: KilledShop, store: str, damage: str, result: str) -> None:
    assert shop.recovered(store, BY_NAME[damage]).startswith(result)
