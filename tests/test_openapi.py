"""The endpoint conforms to its OpenAPI document, whatever it is sent."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

import click
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

from state.popularity_table import DAYS
from streams.cli import main
from streams.endpoint.descriptions import FIELDS
from streams.endpoint.openapi import describe
from streams.endpoint.problems import PROBLEM_TYPES
from streams.endpoint.requests import DAYS_KEPT, LONGEST_LIST, MOST_IN_QUERY
from streams.endpoint.routes import ROUTES
from streams.engine.ranking import LIST_LENGTH
from streams.engine.scores import SCORES
from streams.recommendations.request import RecommendationRequest
from streams.workers.answering.worker_routes import worker_routes
from tests.live_shop import TOKEN, Shop, open_shop
from tests.test_admin import ask, post

if TYPE_CHECKING:
    from collections.abc import Iterator

schema = schemathesis.openapi.from_dict(describe(ROUTES, "0")).exclude(path="/v1/events")  # a stream never ends


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


def described() -> dict[str, Any]:
    """The document as it is served."""
    document: dict[str, Any] = json.loads(json.dumps(describe(ROUTES, "0")))
    return document


ASKED = [field for field in RecommendationRequest.__struct_fields__ if field != "customer_id"]
BOUNDS = ("minimum", "maximum", "minLength", "maxLength")


@pytest.mark.parametrize("field", ASKED)
def test_what_can_be_asked_of_recommendations_is_the_same_in_query_body_and_command(field: str) -> None:
    """Except for the customer, who is in the path or is the command's argument."""
    document = described()
    parameters = document["paths"]["/v1/customers/{customer_id}/recommendations"]["get"]["parameters"]
    (parameter,) = [parameter for parameter in parameters if parameter["name"] == field]
    body = document["components"]["schemas"]["RecommendationsRequest"]["properties"][field]
    (value,) = [schema for schema in body.get("oneOf", [body]) if schema.get("type") != "null"]
    command = main.get_command(click.Context(main), "recommend")
    assert command is not None
    (option,) = [option for option in command.params if option.name == field]
    query = parameter["schema"]

    assert parameter["description"] == body["description"]
    assert query["type"] == value["type"]
    assert isinstance(option, click.Option)
    assert (option.help or "").startswith(body["description"][:-1])
    assert [query.get(bound) for bound in BOUNDS] == [value.get(bound) for bound in BOUNDS]
    if value["type"] == "array":
        assert query["items"] == value["items"]
        assert query["maxItems"] == min(value["maxItems"], MOST_IN_QUERY)
        assert option.multiple
        assert [*(option.to_info_dict()["default"] or ())] == query.get("default", []) == body["default"]
        return
    assert query.get("default") == body["default"] == option.default
    if value["type"] in {"integer", "number"}:
        assert isinstance(option.type, click.IntRange | click.FloatRange)
        assert (option.type.min, option.type.max) == (value["minimum"], value["maximum"])


def test_the_customer_is_in_the_path_or_in_the_body() -> None:
    document = described()
    (parameter,) = [
        parameter
        for parameter in document["paths"]["/v1/customers/{customer_id}/recommendations"]["get"]["parameters"]
        if parameter["name"] == "customer_id"
    ]

    assert parameter["in"] == "path"
    assert "customer_id" in document["components"]["schemas"]["RecommendationsRequest"]["properties"]


def test_limits_are_those_of_what_is_kept() -> None:
    """They are repeated so that the command line need not import the engine."""
    assert LONGEST_LIST == LIST_LENGTH
    assert DAYS_KEPT == DAYS


def test_the_score_of_a_list_is_one_of_the_scores_there_are() -> None:
    assert described()["components"]["schemas"]["RelatedList"]["properties"]["score"]["enum"] == list(SCORES)


def test_the_schemas_are_those_that_routes_name() -> None:
    """None is missing, and none is unused."""
    text = json.dumps(described())
    named = set(re.findall(r"#/components/schemas/(\w+)", text))

    assert named == described()["components"]["schemas"].keys()
    assert {"Item", "RelatedList", "RecommendationsRequest", "Order", "OrderLine", "ProblemDocument"} <= named
    assert "SnapshotRequest" not in named, "a stored state writes no snapshots"


EVERY_ROUTE = (*ROUTES, *worker_routes(cast("Any", None)))


def test_the_document_is_valid_and_says_what_everything_means() -> None:
    """Clients are generated from it, and read instead of the code."""
    document = json.loads(json.dumps(describe(EVERY_ROUTE, "0")))
    schemathesis.openapi.from_dict(document).validate()

    tags = {tag["name"] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert set(operation["tags"]) <= tags, path
            assert not [
                content
                for answer in operation["responses"].values()
                for content in answer.get("content", {})
                if content == "text/html"
            ]
            for parameter in operation.get("parameters", []):
                assert parameter["description"], f"{method} {path} {parameter['name']}"
            opened = path in {"/openapi.json", "/health/live", "/health/ready"}
            assert (operation["security"] == []) == opened, f"{method} {path}"
    for name, schema in document["components"]["schemas"].items():
        for field, value in schema["properties"].items():
            assert value["description"], f"{name}.{field}"
    assert [server["url"] for server in document["servers"]] == ["/"]
    for kind in PROBLEM_TYPES:
        assert kind.uri in document["info"]["description"]


def test_no_description_is_of_a_field_that_is_no_more() -> None:
    schemas = describe(EVERY_ROUTE, "0")["components"]["schemas"].values()

    assert FIELDS.keys() - {field for schema in schemas for field in schema["properties"]} == set()


@pytest.mark.parametrize("path", ["/v1/related", "/v1/recommendations", "/v1/orders"])
def test_examples_are_answered(shop: Shop, path: str) -> None:
    operation = described()["paths"][path]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]

    assert post(shop, path, example, TOKEN).status in {200, 202}


def test_examples_of_parameters_are_valid(shop: Shop) -> None:
    for path, operations in described()["paths"].items():
        parameters = operations.get("get", {}).get("parameters", [])
        query = {one["name"]: one["example"] for one in parameters if one["in"] == "query" and "example" in one}
        if query:
            concrete = path.format(item_id="tea", other="milk", customer_id="c1")
            assert ask(shop, concrete, **query).status == 200, path
