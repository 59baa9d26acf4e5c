"""The documents that the endpoint answers and accepts, as types. The OpenAPI schemas follow from them."""

# no `from __future__ import annotations`: msgspec reads the annotations at run time
from typing import Annotated, NotRequired, TypedDict

import msgspec

from state.settings import PAIR_KINDS
from streams.engine.scores import SCORES
from streams.recommendations.request import ItemId, Share

Count = Annotated[int, msgspec.Meta(ge=0)]
ScoreName = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(SCORES)})]
PairKind = Annotated[str, msgspec.Meta(extra_json_schema={"enum": list(PAIR_KINDS)})]
CustomerId = ItemId
Id = str | int | float
"""As producers write ids: 7, 7.0 and "7" are one."""
Quantity = str | int | float | None


class AsOf(TypedDict):
    """The log prefix that an answer reflects."""

    timestamp: str | None
    lines: Count


class ProblemDocument(TypedDict):
    """What went wrong, as RFC 9457 defines it."""

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

    item_id: ItemId
    title: NotRequired[str]
    category: str | None
    available: bool
    url: str | None
    image: str | None
    price: str | None
    brand: str | None
    attributes: dict[str, str]
    in_stock: bool
    group_id: str | None
    buyers: Count
    purchases: Count
    popularity: Share
    daily_purchases: list[DailyPurchases]
    as_of: AsOf
    worker: str


class _Described(TypedDict):
    """An item with what `fields` asks for of its catalogue entry."""

    item_id: ItemId
    title: NotRequired[str]
    url: NotRequired[str]
    image: NotRequired[str]
    category: NotRequired[str]
    price: NotRequired[str]
    brand: NotRequired[str]
    group_id: NotRequired[str]
    attributes: NotRequired[dict[str, str]]


class RelatedEntry(_Described):
    """A related item: N, E and trend, from which every score but `blend` follows; of a blend, those of all time."""

    score: float
    bought_together: float
    expected: float
    trend: float


class RelatedList(TypedDict):
    """A related list, best first."""

    item_id: ItemId
    title: NotRequired[str]
    buyers: Count
    purchases: Count
    pairs: PairKind
    score: ScoreName
    exact: bool
    related: list[RelatedEntry]
    next_offset: NotRequired[Count]
    cut: NotRequired[bool]
    as_of: AsOf
    worker: str


class RelatedResult(TypedDict):
    """The related list of one item of several or, in its place, why there is none."""

    item_id: ItemId
    answer: NotRequired[RelatedList]
    problem: NotRequired[ProblemDocument]


class RelatedResults(TypedDict):
    """The related lists of several items, in the order in which they were asked for."""

    results: list[RelatedResult]


class OtherItem(TypedDict):
    """The other item of a pair."""

    item_id: ItemId
    title: NotRequired[str]
    buyers: Count
    purchases: Count


class PairEpoch(TypedDict):
    """A pair up to the end of an epoch: N, E and their difference; and how many it was new of in it."""

    first_day: str
    last_day: str
    new_pairs: Count
    bought_together: Count
    expected: float
    difference: float


class Pair(TypedDict):
    """How an item and another came to be related."""

    item_id: ItemId
    title: NotRequired[str]
    buyers: Count
    purchases: Count
    pairs: PairKind
    other: OtherItem
    epochs: list[PairEpoch]
    as_of: AsOf
    worker: str


class HistoryEntry(TypedDict):
    """An item held."""

    item_id: ItemId
    title: NotRequired[str]
    purchases: Count
    first: str | None
    last: str | None


class EventEntry(TypedDict):
    """An event that is kept as a seed of recommendations."""

    item_id: ItemId
    title: NotRequired[str]
    type: str
    timestamp: str | None


class Customer(TypedDict):
    """A customer and the items held, the last bought first; and the events that are kept, if any are."""

    customer_id: CustomerId
    items_held: Count
    purchases: Count
    history: list[HistoryEntry]
    events: NotRequired[list[EventEntry]]
    as_of: AsOf
    worker: str


class Because(TypedDict):
    """A part of a score: from a seed (`item_id`), `popularity`, own `repeats`, or `others`, the rest of the seeds.

    An item that nothing speaks for has the part `filler`, its purchases in all, by which the list is filled up.
    """

    share: Annotated[float, msgspec.Meta(ge=0)]
    item_id: NotRequired[ItemId]
    title: NotRequired[str]
    bought_together: NotRequired[float]
    expected: NotRequired[float]
    event: NotRequired[str]
    popularity: NotRequired[Share]
    repeats: NotRequired[Count]
    others: NotRequired[Count]
    filler: NotRequired[Count]


class Recommended(_Described):
    """A recommendation; the shares add up to the score."""

    score: Annotated[float, msgspec.Meta(ge=0)]
    because: list[Because]


class Recommendations(TypedDict):
    """Recommendations, best first. A visitor without history or basket gets bestsellers, and `known` is false."""

    customer_id: NotRequired[CustomerId]
    known: bool
    ignored: NotRequired[list[str]]
    recommendations: list[Recommended]
    next_offset: NotRequired[Count]
    as_of: AsOf
    worker: str


class RecommendationResult(TypedDict):
    """Recommendations for one customer of several or, in their place, why there are none."""

    customer_id: CustomerId
    answer: NotRequired[Recommendations]
    problem: NotRequired[ProblemDocument]


class RecommendationResults(TypedDict):
    """Recommendations for several customers, in the order in which they were asked for."""

    results: list[RecommendationResult]


class BestsellerEntry(TypedDict):
    """A bestseller."""

    item_id: ItemId
    title: NotRequired[str]
    url: NotRequired[str]
    image: NotRequired[str]
    price: NotRequired[str]
    brand: NotRequired[str]
    group_id: NotRequired[str]
    attributes: NotRequired[dict[str, str]]
    category: str | None
    purchases: Count
    popularity: Share


class Bestsellers(TypedDict):
    """The most bought items of the last days of event time."""

    days: Count
    category: str | None
    bestsellers: list[BestsellerEntry]
    widened_to_days: NotRequired[Count]
    next_offset: NotRequired[Count]
    as_of: AsOf
    worker: str


class FoundItem(TypedDict):
    """An item that a search found."""

    item_id: ItemId
    title: NotRequired[str]
    category: str | None
    available: bool
    url: str | None
    image: str | None
    price: str | None
    brand: str | None
    attributes: dict[str, str]
    in_stock: bool
    group_id: str | None
    purchases: Count


class SearchResults(TypedDict):
    """The results of a search: items, the most bought first, and the customer with that id.

    A search that is not complete ended when its time was used up: it looked at the most bought items.
    """

    items: list[FoundItem]
    complete: bool
    customers: list[str]
    as_of: AsOf
    worker: str


class CatalogueEntry(TypedDict):
    """An item that may be shown."""

    item_id: ItemId
    title: NotRequired[str]
    url: NotRequired[str]
    image: NotRequired[str]
    price: NotRequired[str]
    brand: NotRequired[str]
    group_id: NotRequired[str]
    attributes: NotRequired[dict[str, str]]
    category: str | None
    in_stock: bool
    purchases: Count


class CatalogueItems(TypedDict):
    """A page of the items that may be shown, the most bought first."""

    category: str | None
    matching: Count
    items: list[CatalogueEntry]
    next_offset: NotRequired[Count]
    as_of: AsOf
    worker: str


class CategoryEntry(TypedDict):
    """A category of the catalogue."""

    category: str
    item_count: Count


class Categories(TypedDict):
    """The categories of the catalogue, those with most items first."""

    categories: list[CategoryEntry]
    matching: Count
    as_of: AsOf
    worker: str


class Partition(TypedDict):
    """The status of a partition."""

    kind: str
    partition: Count
    owner: str
    offset: Count
    lag: Count
    state_bytes: Count
    oldest_unpublished_ms: Count
    commits: Count


class Partitions(TypedDict):
    """The status of every partition."""

    partitions: list[Partition]
    as_of: AsOf
    worker: str


class QualityDay(TypedDict):
    """The scored orders of one UTC day, and the running rates at its end."""

    day: str
    orders: Count
    hits: Count
    bestseller_hits: Count
    hit_rate: Share
    bestseller_hit_rate: Share


class Quality(TypedDict):
    """How many scored orders contained one of the `at` items recommended, or one of the top `at` bestsellers."""

    at: Count
    orders: Count
    hits: Count
    bestseller_hits: Count
    running_half_life_days: Count
    days: list[QualityDay]
    as_of: AsOf
    worker: str


class Minute(TypedDict):
    """What the process did in a minute of its clock, and how it stood at the end."""

    begin: str
    lines: Count
    commits: Count
    lists_published: Count
    lag: Count
    oldest_unpublished_ms: Count


class Rates(TypedDict):
    """The last hour, the latest minute last; it is not over yet."""

    minutes: list[Minute]
    as_of: AsOf
    worker: str


class Health(TypedDict):
    """The process is live or ready."""

    status: str
    worker: str


class Accepted(TypedDict):
    """The position in the log of the record that was appended."""

    customer_id: NotRequired[str]
    partition: Count
    offset: Count
    worker: str


class OrderLine(TypedDict):
    """A line of an order."""

    item_id: Id
    quantity: NotRequired[Quantity]


class Order(TypedDict):
    """A record of the topic `purchases`. A single line may be given as `item_id` and `quantity` instead of `lines`."""

    customer_id: Id
    timestamp: str | int | float
    order_id: NotRequired[Id | None]
    type: NotRequired[str | None]
    lines: NotRequired[list[OrderLine] | None]
    item_id: NotRequired[Id | None]
    quantity: NotRequired[Quantity]


class IngestFigures(TypedDict):
    """Stage A of one worker: the offset up to which each open purchases partition is counted; lines since its start.

    Of each partition on standby, `standby` has how many records it is behind its owner. `skipped` has the records of
    each event type that is not counted.
    """

    offsets: dict[int, Count]
    lines: Count
    rejected: Count
    skipped: dict[str, Count]
    standby: dict[int, Count]


class TallyFigures(TypedDict):
    """Stage B of one worker: offsets of `co-purchases`, lines counted and exactness by item partition.

    Of each partition on standby, `standby` has how many records it is behind its owner.
    """

    offsets: dict[int, Count]
    lines: dict[int, Count]
    current: dict[int, bool]
    lists_published: Count
    oldest_change_s: Annotated[float, msgspec.Meta(ge=0)]
    standby: dict[int, Count]


class RekeyFigures(TypedDict):
    """The copy by customer of one worker: the offset up to which each partition of `purchases` is copied; records."""

    offsets: dict[int, Count]
    records: Count


class StageFigures(TypedDict):
    """The stages that run in one worker."""

    generation: str
    rekey: NotRequired[RekeyFigures]
    ingest: NotRequired[IngestFigures]
    tally: NotRequired[TallyFigures]


class Snapshot(TypedDict):
    """The directories that a snapshot was written to, one per store."""

    stores: list[str]


class SnapshotRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The directory of a snapshot: a new one below the worker's --snapshot-root, absolute or relative to it."""

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
