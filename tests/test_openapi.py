"""The endpoint keeps what its OpenAPI document promises, whatever it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from streams.endpoint.openapi import describe
from streams.endpoint.routes import ROUTES
from tests.live_shop import TOKEN, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator

schema = schemathesis.openapi.from_dict(describe(ROUTES, "0")).exclude(path="/events")  # a stream never ends


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state")) as shop:
        yield shop


CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_endpoint_break_its_promise(case: schemathesis.Case[Any], shop: Shop) -> None:
    case.call_and_validate(shop.url, checks=CHECKS, headers={"Authorization": f"Bearer {TOKEN}"})
