"""The OpenAPI 3.1 document of the endpoint, generated from its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producers.orders import LONGEST_ID_BYTES
from streams.endpoint.schemas import ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.endpoint.requests import Parameter
    from streams.endpoint.routes import Route


_TEMPLATE = "#/components/schemas/{name}"
_PROBLEMS = {
    400: "A parameter or the body is invalid; the detail names what is wrong.",
    401: "The token is missing or wrong.",
    403: "This process was started without a token.",
    404: "No such item or customer is known.",
    408: "The body did not arrive in time.",
    409: "This process is read-only.",
    413: "The body is too large, perhaps only when inflated.",
    415: "The body is not JSON, or compressed in another way than gzip or deflate.",
    421: "The Host header names another server.",
    429: "Too many wrong tokens came from this client: Retry-After says when the next is checked.",
    503: "No worker can answer at the moment.",
}


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        routes: the routes served.
        version: version of this software.
    """
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "alsobought",
            "version": version,
            "description": "Related items and recommendations, current as purchases arrive, and the state behind them.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {"adminToken": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {str(route.status): _answer(route)},
    }
    for status in sorted({*route.problems, 421, *([429] if route.guarded else []), *([408] if route.body else [])}):
        operation["responses"][str(status)] = {
            "description": _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": _reference(ProblemDocument)}},
        }
    if route.name == "related":
        operation["responses"]["304"] = {"description": "The list still has this ETag."}
    parameters = [_in_path(name) for name in route.path_names] + [
        _in_query(parameter) for parameter in route.parameters
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content = {"application/json": {"schema": _reference(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.guarded:
        operation["security"] = [{"adminToken": []}]
    return operation


def _answer(route: Route) -> dict[str, Any]:
    schema = {"type": "string"} if route.schema is None else _reference(route.schema)
    if route.content_type == "application/json" and route.schema is None:
        schema = {"type": "object"}
    return {"description": route.summary, "content": {route.content_type: {"schema": schema}}}


def _in_path(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID_BYTES}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
    }


def _reference(document: type) -> dict[str, Any]:
    return {"$ref": _TEMPLATE.format(name=document.__name__)}


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """The schemas of all documents that routes answer or accept, and of those nested in them, by name."""
    types = [document for route in routes for document in (route.schema, route.body) if document is not None]
    documents = dict.fromkeys([ProblemDocument, *types])
    _, components = msgspec.json.schema_components(documents, ref_template=_TEMPLATE)
    return components
