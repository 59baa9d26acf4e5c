"""The questions that the endpoint answers, whoever holds the state, and the errors if it cannot.

AnswerError                the question cannot be answered
|-- NotKnown               no such item or customer
|-- OtherPairs             the state counts pairs of something else
|-- NotWritable            this process cannot append to the log
`-- NotReady               no worker can answer at the moment
    `-- PartitionNotLocal  a partition that the answer needs is not open in this process
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from state.memory import PartUse
    from streams.endpoint.answer_documents import Document, Result
    from streams.endpoint.changes import Changes
    from streams.endpoint.requests import (
        BestsellersRequest,
        CatalogueRequest,
        RelatedListsRequest,
        RelatedRequest,
    )
    from streams.recommendations.request import RecommendationRequest, RecommendationsRequest

READS_ONLY = "this process serves a stored state read-only: send orders and erasures to a worker"
FORWARDED_BY = "Alsobought-Forwarded-By"
"""Header of a forwarded request, with the worker that forwarded it. Its receiver never forwards it again."""

forwarded: ContextVar[bool] = ContextVar("forwarded", default=False)
"""Whether another worker forwarded the request being answered."""


class AnswerError(Exception):
    """The question cannot be answered; the message says why and what to do."""


class NotKnown(AnswerError):
    """No such item or customer is known."""


class OtherPairs(AnswerError):
    """The state counts pairs of customers and the question is about pairs of orders, or the other way round."""


class NotWritable(AnswerError):
    """This process cannot append orders or erasures to the log."""


class NotReady(AnswerError):
    """No worker can answer at the moment.

    Attributes:
        retry_after_s: seconds after which to ask again.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PartitionNotLocal(NotReady):
    """A partition is not open in this process, or not ready to answer; the message says which."""


class RelatedListAnswer(NamedTuple):
    """A related list."""

    document: Document
    version: str
    """Equal for equal lists; it becomes the ETag."""


class PartitionStatus(NamedTuple):
    """The status of one partition."""

    kind: str
    """`purchases` (histories) or `items` (counts and lists)."""
    partition: int
    owner: str
    """The worker that answers for it."""
    offset: int
    """Log position up to which it is counted; for items, the sum over purchases partitions."""
    lag: int
    """Records waiting to be counted."""
    state_bytes: int
    oldest_unpublished_ms: int
    """Age of the oldest change that no published list reflects yet; 0 if there is none."""
    commits: int
    """Commits of its store."""


@dataclass(frozen=True, slots=True)
class Status:
    """The status of this process, for /metrics, /quality and the page."""

    lines: int
    duplicates: int
    rejected: int
    commits: int
    customers: int
    items: int
    lists: int
    partitions: list[PartitionStatus]
    newest_ms: int
    """Event time of the newest purchase; -1 if there is none."""
    hit_counts: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """By UTC day: orders scored before they were counted, hits, bestseller hits; see `quality.prequential`."""

    skipped: Mapping[str, int] = field(default_factory=dict)
    """By topic: records that were skipped since the start, as invalid or not written by a worker."""

    skipped_types: Mapping[str, int] = field(default_factory=dict)
    """By event type that is not counted: records of `purchases` that were skipped since the start."""

    damaged_stores: int = 0
    """That were set aside and are kept."""

    snapshot_age_s: float | None = None
    """Seconds since the snapshot of the store whose newest one is oldest; None: none are written by themselves."""

    snapshot_failures: int = 0
    """Snapshots since the start that could not be written."""

    rekeyed: int | None = None
    """Records of `purchases` copied by customer since the start; None: they are not copied here."""

    rekey_lag: Mapping[int, int] = field(default_factory=dict)
    """By partition of `purchases`: records waiting to be copied."""

    standby_lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """By kind and partition on standby here: records that its owner has counted, and this worker has not."""

    published: int = 0
    """Lists published since the start; 0 where they are computed when they are asked for."""

    memory: Mapping[str, PartUse] = field(default_factory=dict)
    """By part: what the stores take and may take."""

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
        """Age of the oldest change that no published list reflects yet."""
        return max((partition.oldest_unpublished_ms for partition in self.partitions), default=0)


class Answers(Protocol):
    """Answers the questions of the endpoint. Ids are compared exactly; every method may raise NotReady.

    Attributes:
        worker: name of this process; every answer contains it.
        writable: whether orders and erasures can be appended to the log here.
        standing: whether it is `live`, `following` what another process counts, or `stopped`.
        changes: delivers live changes to watchers.
    """

    worker: str
    standing: str
    writable: bool
    changes: Changes

    async def item(self, item_id: str) -> Document:
        """An item. Raises NotKnown."""

    async def related(self, item_id: str, request: RelatedRequest) -> RelatedListAnswer:
        """An item's related list as published, or computed now. Raises NotKnown, OtherPairs."""

    async def related_lists(self, request: RelatedListsRequest) -> list[Result]:
        """The related lists of several items, in their order."""

    async def pair(self, item_id: str, other_id: str) -> Document:
        """How an item and another came to be related, epoch by epoch. Raises NotKnown."""

    async def customer(self, customer_id: str, limit: int) -> Document:
        """A customer and the items bought last. Raises NotKnown."""

    async def recommendations(self, request: RecommendationRequest) -> Document:
        """Recommendations for a customer, known or not, or for a basket alone."""

    async def recommendations_of(self, request: RecommendationsRequest) -> list[Result]:
        """Recommendations for several customers, in their order."""

    async def bestsellers(self, request: BestsellersRequest) -> Document:
        """What was bought most in the last days."""

    async def catalogue(self, request: CatalogueRequest) -> Document:
        """The items that are asked for, the most bought first."""

    async def categories(self, limit: int) -> Document:
        """The categories of the catalogue that have most items."""

    async def search(self, text: str, limit: int) -> Document:
        """Items whose id or title contains every word of `text`, and the customer of that id."""

    async def partitions(self) -> Document:
        """The status of every partition, wherever it is."""

    async def erase(self, customer_id: str) -> Document:
        """Append an erasure to the log. Raises NotKnown, NotWritable."""

    async def order(self, customer_id: str, record: bytes) -> Document:
        """Append an order of a customer, which has been validated, to the log. Raises NotWritable."""

    def refused(self, record: bytes, reason: str) -> None:
        """An order was sent that cannot be counted."""

    def status(self) -> Status:
        """The status of this process."""

    def ready(self) -> str | None:
        """None if questions can be answered; else what is missing."""
