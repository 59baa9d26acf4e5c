"""What the admin endpoint can be asked, whoever holds the state: the questions, and what can stand in their way.

AnswerError            the question cannot be answered with a document
|-- NotKnown           there is no such item or customer
|-- NotWritable        this process cannot take orders or erasures
`-- NotReady           who holds the answer is not there at the moment
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streams.recommendations.recommend import Blend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import msgspec

    from streams.endpoint.changes import Changes

    Document = Mapping[str, Any] | msgspec.Raw
    """What is sent as JSON; `Raw` is JSON already, as another worker answered it."""

LONGEST_LIST = 50
MOST_RECOMMENDATIONS = 500
SHOWN_REASONS = 5
READS_ONLY = "this process reads a stored state and takes no orders or erasures: send them to a worker"


class AnswerError(Exception):
    """The question cannot be answered with a document; the message says why and what to do."""


class NotKnown(AnswerError):
    """There is no such item or customer."""


class NotWritable(AnswerError):
    """This process cannot take orders or erasures."""


class NotReady(AnswerError):
    """Who holds the answer is not there at the moment.

    Attributes:
        retry_after_s: when it is worth asking again.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a visitor's recommendations are to be.

    Attributes:
        limit: how many.
        basket: ids of items in the visitor's hands, which count as the latest seeds.
        exclude: ids of items not to recommend.
        category: only items of this category; None: of all.
        keep_held: recommend also what the visitor holds.
        blend: shares of popularity and repeats; with repeats, what is held is kept.
        reasons: how many reasons to name of each; the rest is one entry.
    """

    limit: int = 10
    basket: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    category: str | None = None
    keep_held: bool = False
    blend: Blend = field(default_factory=Blend)
    reasons: int = SHOWN_REASONS


class RelatedListAnswer(NamedTuple):
    """A related list."""

    document: Document
    version: str
    """Equal versions mean equal lists; it becomes the ETag."""


class PartitionStatus(NamedTuple):
    """How one partition stands."""

    kind: str
    """`purchases` (histories) or `items` (counts and lists)."""
    partition: int
    owner: str
    """The worker that answers for it."""
    offset: int
    """Log position up to which it is counted; of items, the sum over purchases partitions."""
    lag: int
    """Records waiting to be counted."""
    state_bytes: int
    oldest_unpublished_ms: int
    """How long the oldest change waits to be seen in a published list; 0: none waits."""


@dataclass(frozen=True, slots=True)
class Status:
    """How this worker stands, for /metrics and the page."""

    lines: int
    duplicates: int
    rejected: int
    commits: int
    customers: int
    items: int
    lists: int
    partitions: list[PartitionStatus]
    newest_ms: int
    """Event time of the newest purchase; -1: there is none."""
    hit_counts: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """UTC day -> orders scored before they were counted, hits, and bestseller hits; see `quality.prequential`."""

    @property
    def lag(self) -> int:
        """Records waiting to be counted."""
        return sum(partition.lag for partition in self.partitions)

    @property
    def state_bytes(self) -> int:
        """Bytes on disk."""
        return sum(partition.state_bytes for partition in self.partitions)

    @property
    def refresh_age_ms(self) -> int:
        """How long the oldest change waits to be seen in a published list."""
        return max((partition.oldest_unpublished_ms for partition in self.partitions), default=0)


class Answers(Protocol):
    """Who can be asked. Ids are taken as they are; every method may raise `NotReady`.

    Attributes:
        worker: this worker's name, which is in every answer.
        writable: whether orders and erasures can be put into the log here.
        changes: what changes, for those who watch.
    """

    worker: str
    writable: bool
    changes: Changes

    async def item(self, item_id: str) -> Document:
        """An item. Raises NotKnown."""

    async def related(self, item_id: str, limit: int, *, fresh: bool) -> RelatedListAnswer:
        """An item's related list as published, or computed now. Raises NotKnown."""

    async def customer(self, customer_id: str, limit: int) -> Document:
        """A customer and the items bought last. Raises NotKnown."""

    async def recommendations(self, customer_id: str | None, wishes: Wishes) -> Document:
        """Recommendations for a customer, known or not, or for a basket alone."""

    async def bestsellers(self, days: int, category: str | None, limit: int) -> Document:
        """What was bought most in the last days."""

    async def search(self, text: str, limit: int) -> Document:
        """Items whose id or title has `text` in it, and the customer of that id."""

    async def partitions(self) -> Document:
        """How every partition stands, here and elsewhere."""

    async def erase(self, customer_id: str) -> Document:
        """Put an erasure into the log. Raises NotKnown, NotWritable."""

    async def order(self, record: bytes) -> Document:
        """Put an order, checked already, into the log. Raises NotWritable."""

    def status(self) -> Status:
        """How this worker stands."""

    def ready(self) -> str | None:
        """None if questions can be answered; else what is missing."""


FORWARDED_BY = "Alsobought-Forwarded-By"
"""Header of a request that a worker hands on; it names that worker, and who gets it answers or refuses."""

forwarded: ContextVar[bool] = ContextVar("forwarded", default=False)
"""Whether the request that is being answered was handed on by another worker."""
