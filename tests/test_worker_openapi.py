"""A worker keeps what its OpenAPI document promises, whatever it is sent; also of questions that it hands on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from streams.endpoint.openapi import describe
from streams.endpoint.routes import ROUTES
from tests.live_shop import TOKEN
from tests.live_workers import LiveShop, live_shop
from tests.test_openapi import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.brokers import Broker

schema = schemathesis.openapi.from_dict(describe(ROUTES, "0")).exclude(path="/events")  # a stream never ends


@pytest.fixture(scope="module")
def shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with live_shop(kafka.bootstrap, "promises", tmp_path_factory.mktemp("workers")) as shop:
        yield shop


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_a_worker_break_its_promise(case: schemathesis.Case[Any], shop: LiveShop) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(f"http://{shop.workers[0].admin}", checks=CHECKS, headers=headers)
