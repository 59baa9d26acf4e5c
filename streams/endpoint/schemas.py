"""The shapes of the endpoint's documents, from which OpenAPI's schemas are made."""

# no `from __future__ import annotations`: msgspec reads the annotations at run time
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from streams.endpoint.answers import MOST_RECOMMENDATIONS, SHOWN_REASONS
from streams.endpoint.parameters import LONGEST_ID_BYTES, MOST_IDS
from streams.engine.scores import SCORES
from streams.recommendations.recommend import MOST_SEEDS, POPULARITY_SHARE

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID_BYTES)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
ScoreName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(SCORES)})]


class AsOf(TypedDict):
    """The log prefix an answer is of."""

    timestamp: str | None
    lines: Count


class ProblemDocument(TypedDict):
    """What went wrong, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    parameter: NotRequired[str]


class DailyPurchases(TypedDict):
    """Purchases of one UTC day."""

    day: str
    purchases: Count


class Item(TypedDict):
    """An item."""

    item_id: Id
    title: NotRequired[str]
    category: str | None
    available: bool
    url: str | None
    image: str | None
    buyers: Count
    purchases: Count
    popularity: Share
    daily_purchases: list[DailyPurchases]
    as_of: AsOf
    worker: str


class RelatedEntry(TypedDict):
    """A related item: N, E and trend, from which every score but `blend` follows; of a blend, those of all time."""

    item_id: Id
    title: NotRequired[str]
    score: float
    bought_together: float
    expected: float
    trend: float


class RelatedList(TypedDict):
    """A related list, best first."""

    item_id: Id
    title: NotRequired[str]
    buyers: Count
    purchases: Count
    score: ScoreName
    exact: bool
    related: list[RelatedEntry]
    as_of: AsOf
    worker: str


class HistoryEntry(TypedDict):
    """An item held."""

    item_id: Id
    title: NotRequired[str]
    purchases: Count
    first: str | None
    last: str | None


class Customer(TypedDict):
    """A customer, the items bought last first."""

    customer_id: Id
    items_held: Count
    purchases: Count
    history: list[HistoryEntry]
    as_of: AsOf
    worker: str


class Because(TypedDict):
    """A part of a score: of a seed (`item_id`), `popularity`, own `repeats`, or `others`, the seeds not named."""

    share: Share
    item_id: NotRequired[Id]
    title: NotRequired[str]
    bought_together: NotRequired[float]
    expected: NotRequired[float]
    popularity: NotRequired[Share]
    repeats: NotRequired[Count]
    others: NotRequired[Count]


class Recommended(TypedDict):
    """A recommendation; the shares add up to the score."""

    item_id: Id
    title: NotRequired[str]
    score: Share
    because: list[Because]


class Recommendations(TypedDict):
    """Recommendations, best first; `known` says whether they are of a history or basket rather than bestsellers."""

    customer_id: NotRequired[Id]
    known: bool
    ignored: NotRequired[list[str]]
    recommendations: list[Recommended]
    as_of: AsOf
    worker: str


class RecommendationRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to recommend to a visitor with a basket."""

    basket: Annotated[list[Id], msgspec.Meta(max_length=MOST_SEEDS)] = []
    customer_id: Id | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_RECOMMENDATIONS)] = 10
    exclude: Annotated[list[Id], msgspec.Meta(max_length=MOST_IDS)] = []
    category: str | None = None
    keep_held: bool = False
    popularity_share: Share = POPULARITY_SHARE
    repeats_share: Share = 0.0
    reasons: Annotated[int, msgspec.Meta(ge=1, le=MOST_SEEDS + 2)] = SHOWN_REASONS


class BestsellerEntry(TypedDict):
    """A bestseller."""

    item_id: Id
    title: NotRequired[str]
    category: str | None
    purchases: Count
    popularity: Share


class Bestsellers(TypedDict):
    """What was bought most in the last days of event time."""

    days: Count
    category: str | None
    bestsellers: list[BestsellerEntry]
    as_of: AsOf
    worker: str


class FoundItem(TypedDict):
    """An item found."""

    item_id: Id
    title: NotRequired[str]
    category: str | None
    available: bool
    url: str | None
    image: str | None
    purchases: Count


class Found(TypedDict):
    """What a search found, the most bought first."""

    items: list[FoundItem]
    customers: list[str]
    as_of: AsOf
    worker: str


class Partition(TypedDict):
    """How a partition stands."""

    kind: str
    partition: Count
    owner: str
    offset: Count
    lag: Count
    state_bytes: Count
    oldest_unpublished_ms: Count


class Partitions(TypedDict):
    """How every partition stands."""

    partitions: list[Partition]
    as_of: AsOf
    worker: str


class QualityDay(TypedDict):
    """Orders scored on one UTC day, before they were counted; the rates are running ones, as of its end."""

    day: str
    orders: Count
    hits: Count
    bestseller_hits: Count
    hit_rate: Share
    bestseller_hit_rate: Share


class Quality(TypedDict):
    """Of the orders scored, how many brought one of the `at` items recommended, and of the bestsellers."""

    at: Count
    orders: Count
    hits: Count
    bestseller_hits: Count
    running_half_life_days: Count
    days: list[QualityDay]
    as_of: AsOf
    worker: str


class Health(TypedDict):
    """All is well."""

    status: str
    worker: str


class Accepted(TypedDict):
    """What was put into the log, and where it stands there."""

    customer_id: NotRequired[str]
    partition: Count
    offset: Count
    worker: str


class OrderLine(TypedDict):
    """A line of an order."""

    item_id: str | int
    quantity: NotRequired[int]


class Order(TypedDict):
    """A record of the topic `purchases`; or, instead of `lines`, the one line's `item_id` and `quantity`."""

    customer_id: str | int
    timestamp: str | int | float
    order_id: NotRequired[str | int | None]
    type: NotRequired[str]
    lines: NotRequired[list[OrderLine]]
    item_id: NotRequired[str | int]
    quantity: NotRequired[int]


class SnapshotRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Where a snapshot is to be written, on the worker's machine."""

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


DOCUMENTS: tuple[type, ...] = (
    ProblemDocument,
    Item,
    RelatedList,
    Customer,
    Recommendations,
    RecommendationRequest,
    Bestsellers,
    Found,
    Partitions,
    Quality,
    Health,
    Accepted,
    Order,
    SnapshotRequest,
)


def component_schemas() -> dict[str, Any]:
    """OpenAPI's component schemas, by name."""
    _, components = msgspec.json.schema_components(DOCUMENTS, ref_template="#/components/schemas/{name}")
    return components
