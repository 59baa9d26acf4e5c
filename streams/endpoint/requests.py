"""The requests of the endpoint's other routes, and how the fields of a request become query parameters.

A route's query, its description in OpenAPI and the options of the matching command all follow from these types. This
module imports neither compiled loops nor the web server, so that the command line loads quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    UnionType,
    VarTupleType,
    type_info,
)

from streams.recommendations.request import BESTSELLER_DAYS, MOST_RECOMMENDATIONS, Category, ItemId

LONGEST_LIST = 50
"""Entries of a related list."""
DAYS_KEPT = 60
"""Days of event time for which daily purchases are kept."""
LONGEST_HISTORY = 10_000
"""Items of a customer's history in one answer."""
MOST_SEARCH_RESULTS = 100
MOST_IDS_IN_QUERY = 20
"""Limit on the ids of a query parameter, since URLs are short; in a body, the field's own limit applies."""

CategoryFilter = Annotated[Category | None, msgspec.Meta(description="Only items of this category of the catalogue.")]


class RelatedRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a related list, and which: the published or a fresh one."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_LIST, description="How many entries at most.")] = LONGEST_LIST
    fresh: Annotated[bool, msgspec.Meta(description="Compute the list now instead of serving the published one.")] = (
        False
    )


class CustomerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a customer's history."""

    limit: Annotated[
        int, msgspec.Meta(ge=1, le=LONGEST_HISTORY, description="How many items at most, those bought last.")
    ] = 100


class BestsellersRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bestsellers."""

    days: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=DAYS_KEPT, description="Days of event time to count; the last is that of the newest purchase."
        ),
    ] = BESTSELLER_DAYS
    category: CategoryFilter = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECOMMENDATIONS, description="How many items at most.")] = 20


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to search for."""

    q: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=600, description="Words, all of which are in the item's id or title."),
    ]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_SEARCH_RESULTS, description="How many items at most.")] = 12


class EventsRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which changes to watch."""

    item_id: Annotated[ItemId | None, msgspec.Meta(description="The item whose list is watched.")] = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field of a request, as a parameter of a query or an option of a command.

    Attributes:
        name: name of the field.
        description: one sentence.
        kind: `integer`, `number`, `boolean`, `string`, or `ids`, which may be repeated.
        default: value if it is not given.
        low, high: range of a number; range of the length in characters of a string, or of each id.
        required: whether it must be given.
    """

    name: str
    description: str
    kind: str
    default: Any
    low: float | None
    high: float | None
    required: bool

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its value in a query."""
        if self.kind == "ids":
            item = {"type": "string", "minLength": self.low, "maxLength": self.high}
            return {"type": "array", "items": item, "maxItems": MOST_IDS_IN_QUERY}
        schema: dict[str, Any] = {"type": self.kind}
        names = ("minLength", "maxLength") if self.kind == "string" else ("minimum", "maximum")
        schema |= {name: bound for name, bound in zip(names, (self.low, self.high), strict=True) if bound is not None}
        if self.default is not None and not self.required:
            schema["default"] = self.default
        return schema


@cache
def parameters_of(request: type[msgspec.Struct]) -> tuple[Parameter, ...]:
    """The fields of a request, in order.

    >>> [parameter.name for parameter in parameters_of(BestsellersRequest)]
    ['days', 'category', 'limit']
    """
    info = type_info(request)
    assert isinstance(info, StructType)  # noqa: S101 - for the type checker
    return tuple(_parameter(field) for field in info.fields)


def _parameter(field: msgspec.inspect.Field) -> Parameter:
    annotated = field.type
    assert isinstance(annotated, Metadata)  # noqa: S101 - a field without description is a mistake
    description = (annotated.extra_json_schema or {})["description"]
    kind, low, high = _constraints(annotated.type)
    default = None if field.required else field.default
    return Parameter(field.name, description, kind, default, low, high, field.required)


def _constraints(value: msgspec.inspect.Type) -> tuple[str, float | None, float | None]:
    """Kind of a parameter, and the bounds of its value."""
    match value:
        case UnionType(types=types):
            (value,) = (alternative for alternative in types if not isinstance(alternative, NoneType))
            return _constraints(value)
        case VarTupleType(item_type=StrType() as item):
            return "ids", item.min_length, item.max_length
        case StrType():
            return "string", value.min_length, value.max_length
        case BoolType():
            return "boolean", None, None
        case IntType():
            return "integer", value.ge, value.le
        case FloatType():
            return "number", value.ge, value.le
    raise TypeError(f"a parameter cannot be a {value}")
