"""The OpenAPI 3.1 document of the endpoint, generated from its routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producers.orders import LONGEST_ID_BYTES
from streams.endpoint.descriptions import BODIES, FIELDS, PARAMETERS, PARTS, TAGS, tag_of
from streams.endpoint.problems import PROBLEM_TYPES
from streams.endpoint.schemas import ProblemDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.endpoint.requests import Parameter
    from streams.endpoint.routes import Route


_TEMPLATE = "#/components/schemas/{name}"
_PROBLEMS = {int(kind.status): kind for kind in reversed(PROBLEM_TYPES)}
"""By status, the first of each."""


def describe(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The OpenAPI document.

    Args:
        routes: the routes served.
        version: version of this software.
    """
    paths: dict[str, dict[str, Any]] = {}
    routes = [route for route in routes if route.described]
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "alsobought",
            "version": version,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            "description": "Related items and recommendations, current as purchases arrive, and the state behind them. "
            "What a request may be answered instead are problem documents (RFC 9457); their types are:\n\n"
            + "\n".join(f"- `{kind.uri}` ({kind.status}): {kind.description}" for kind in PROBLEM_TYPES),
        },
        "servers": [{"url": "/", "description": "This process."}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {
                "adminToken": {"type": "http", "scheme": "bearer", "description": "The worker's --admin-token."},
                "readToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The --read-token of the process; without one, reading needs none.",
                },
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [tag_of(route.path)],
        "responses": {str(route.status): _answer(route)},
    }
    for status in sorted({*route.problems, 421, *([] if route.open else [401, 429]), *([408] if route.body else [])}):
        operation["responses"][str(status)] = {
            "description": f"{_PROBLEMS[status].description} Its type is {_PROBLEMS[status].uri}.",
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
        content = {"application/json": {"schema": _reference(route.body), "example": BODIES[route.name]}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.guarded:
        operation["security"] = [{"adminToken": []}]
    else:
        operation["security"] = [] if route.open else [{}, {"readToken": []}]
    return operation


def _answer(route: Route) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object" if route.content_type == "application/json" else "string"}
    if route.schemas:
        references = [_reference(document) for document in route.schemas]
        schema = references[0] if len(references) == 1 else {"oneOf": references}
    return {"description": route.summary, "content": {route.content_type: {"schema": schema}}}


def _in_path(name: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID_BYTES}
    part = {"name": name, "in": "path", "required": True, "description": FIELDS[name], "schema": schema}
    return part | {"example": PARTS[name]}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "required": parameter.required,
        "description": parameter.description,
        "schema": parameter.schema,
        **({"example": PARAMETERS[parameter.name]} if parameter.name in PARAMETERS else {}),
    }


def _reference(document: type) -> dict[str, Any]:
    return {"$ref": _TEMPLATE.format(name=document.__name__)}


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    """The schemas of all documents that routes answer or accept, and of those nested in them, by name."""
    types = [document for route in routes for document in (*route.schemas, route.body) if document is not None]
    documents = dict.fromkeys([ProblemDocument, *types])
    _, components = msgspec.json.schema_components(documents, ref_template=_TEMPLATE)
    for schema in components.values():
        for name, field in schema["properties"].items():
            field.setdefault("description", FIELDS.get(name))
            _exclude_each_other(field)
    return components


def _exclude_each_other(schema: dict[str, Any]) -> None:
    """Have exactly one of a field's types hold: generators make a union of `oneOf`, and nothing of `anyOf`."""
    types: list[dict[str, Any]] = schema.pop("anyOf", [])
    if {"type": "number"} in types:
        types = [one for one in types if one != {"type": "integer"}]  # which is a number, too
    if types:
        schema["oneOf"] = types
