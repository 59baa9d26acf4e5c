"""The requests of the endpoint's other routes, and how the fields of a request become query parameters.

A route's query, its description in OpenAPI and the options of the matching command all follow from these types. This
module imports neither compiled loops nor the web server, so that the command line loads quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    LiteralType,
    Metadata,
    NoneType,
    StrType,
    StructType,
    UnionType,
    VarTupleType,
    type_info,
)

from streams.engine.scores import SCORES
from streams.recommendations.request import (
    BESTSELLER_DAYS,
    MOST_RECOMMENDATIONS,
    NAME_PATTERN,
    ItemId,
    ListRequest,
)

API = "v1"
"""First part of the paths of the JSON API, which are also served without it until version 1.0."""
LONGEST_LIST = 50
"""Entries of a related list."""
DAYS_KEPT = 60
"""Days of event time for which daily purchases are kept."""
LONGEST_HISTORY = 10_000
"""Items of a customer's history in one answer."""
MOST_SEARCH_RESULTS = 100
MOST_ITEMS = 200
"""Whose related lists may be asked for at once."""
MOST_PAGED = 5_000
"""Entries of the catalogue that can be left out: choosing and sorting so many takes 27 ms of a catalogue of 92,331."""
MOST_CATEGORIES = 1000
MOST_IN_QUERY = 20
"""Limit on the values of a query parameter, since URLs are short; in a body, the field's own limit applies."""

if TYPE_CHECKING:
    ScoreName = str
else:
    ScoreName = Literal[tuple(SCORES)]


class RelatedRequest(ListRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a related list, and which: the published or a fresh one."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_LIST, description="How many entries at most.")] = LONGEST_LIST
    fresh: Annotated[bool, msgspec.Meta(description="Compute the list now instead of serving the published one.")] = (
        False
    )
    pairs: Annotated[
        Literal["customer", "order"] | None,
        msgspec.Meta(description="Only a list that counts pairs of these: customers, or their orders."),
    ] = None
    score: Annotated[
        ScoreName | None,
        msgspec.Meta(description="Rank by this score, computed now, instead of the one of the published lists."),
    ] = None


class RelatedListsRequest(RelatedRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Related lists of several items, each as if it were asked for alone."""

    items: Annotated[tuple[ItemId, ...], msgspec.Meta(min_length=1, max_length=MOST_ITEMS, description="The items.")]


class CustomerRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a customer's history."""

    limit: Annotated[
        int, msgspec.Meta(ge=1, le=LONGEST_HISTORY, description="How many items at most, those bought last.")
    ] = 100


class BestsellersRequest(ListRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which bestsellers."""

    days: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=DAYS_KEPT, description="Days of event time to count; the last is that of the newest purchase."
        ),
    ] = BESTSELLER_DAYS
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECOMMENDATIONS, description="How many items at most.")] = 20


class CatalogueRequest(ListRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which items, the most bought first."""

    offset: Annotated[
        int, msgspec.Meta(ge=0, le=MOST_PAGED, description="How many entries to leave out, the most bought ones.")
    ] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECOMMENDATIONS, description="How many items at most.")] = 50


class CategoriesRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many categories."""

    limit: Annotated[
        int, msgspec.Meta(ge=1, le=MOST_CATEGORIES, description="How many categories at most, those with most items.")
    ] = 100


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
        kind: `integer`, `number`, `boolean`, `string`, `choice`, or `texts` and `names`, of which there may be several;
            names have no commas.
        default: value if it is not given.
        low, high: range of a number; range of the length in characters of a string, or of each text.
        most: how many texts there may be in a query.
        required: whether it must be given.
        choices: the values that a choice may have.
    """

    name: str
    description: str
    kind: str
    default: Any
    low: float | None
    high: float | None
    required: bool
    most: int = 1
    choices: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether there may be several values."""
        return self.kind in ("texts", "names")

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its value in a query."""
        if self.several:
            item = {"type": "string", "minLength": self.low, "maxLength": self.high}
            item |= {"pattern": NAME_PATTERN} if self.kind == "names" else {}
            array = {"type": "array", "items": item, "maxItems": self.most}
            return array | ({"default": list(self.default)} if self.default else {})
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
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
    ['fields', 'category', 'where', 'where_not', 'boost', 'in_stock', 'offset', 'days', 'limit']
    """
    info = type_info(request)
    assert isinstance(info, StructType)  # noqa: S101 - for the type checker
    return tuple(_parameter(field) for field in info.fields)


def query_of(request: msgspec.Struct) -> dict[str, object]:
    """The parameters of a query that ask for this, without those that have their default.

    >>> query_of(RelatedRequest(limit=3, fresh=True))
    {'limit': 3, 'fresh': 'true'}
    """
    values = {parameter: getattr(request, parameter.name) for parameter in parameters_of(type(request))}
    return {
        parameter.name: str(value).lower() if isinstance(value, bool) else value
        for parameter, value in values.items()
        if value != parameter.default
    }


def _parameter(field: msgspec.inspect.Field) -> Parameter:
    annotated = field.type
    assert isinstance(annotated, Metadata)  # noqa: S101 - a field without description is a mistake
    description = (annotated.extra_json_schema or {})["description"]
    kind, low, high, most = _constraints(annotated.type)
    default = None if field.required else field.default
    most, choices = min(most, MOST_IN_QUERY), _choices(annotated.type)
    return Parameter(field.name, description, kind, default, low, high, field.required, most, choices)


def _choices(value: msgspec.inspect.Type) -> tuple[str, ...]:
    alternatives = value.types if isinstance(value, UnionType) else (value,)
    return tuple(str(one) for each in alternatives if isinstance(each, LiteralType) for one in each.values)


def _constraints(value: msgspec.inspect.Type) -> tuple[str, float | None, float | None, int]:
    """Kind of a parameter, the bounds of its value, and how many values it may have."""
    match value:
        case UnionType(types=types):
            (value,) = (alternative for alternative in types if not isinstance(alternative, NoneType))
            return _constraints(value)
        case VarTupleType(item_type=StrType() as item):
            return "texts" if item.pattern is None else "names", item.min_length, item.max_length, value.max_length or 1
        case StrType():
            return "string", value.min_length, value.max_length, 1
        case BoolType() | LiteralType():
            return "boolean" if isinstance(value, BoolType) else "choice", None, None, 1
        case IntType():
            return "integer", value.ge, value.le, 1
        case FloatType():
            return "number", value.ge, value.le, 1
    raise TypeError(f"a parameter cannot be a {value}")
