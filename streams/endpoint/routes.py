"""Every route of the admin endpoint: what it takes, what it answers, who handles it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from state.popularity_table import DAYS
from streams.endpoint import handlers
from streams.endpoint.answers import LONGEST_LIST, MOST_RECOMMENDATIONS, SHOWN_REASONS
from streams.endpoint.events import events
from streams.endpoint.metrics import METRICS_TYPE
from streams.endpoint.page_files import page, page_file
from streams.endpoint.parameters import Parameter
from streams.recommendations.bestsellers import BESTSELLER_DAYS
from streams.recommendations.recommend import MOST_SEEDS, POPULARITY_SHARE

if TYPE_CHECKING:
    from aiohttp import web

    from streams.endpoint.handlers import RequestContext

Handler = Callable[["RequestContext"], Awaitable["web.StreamResponse"]]
JSON = "application/json"
MOST_HELD = 10_000


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        method: of HTTP.
        path: with the names of its parts in braces.
        handler: answers it.
        summary: one sentence.
        schema: name of the document's schema, if it is described.
        parameters: of the query.
        body: name of the body's schema; None: no body.
        guarded: whether the token is needed.
        problems: statuses of the problems it may answer with.
        content_type: of the answer.
        status: of the answer.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    schema: str | None = None
    parameters: tuple[Parameter, ...] = ()
    body: str | None = None
    guarded: bool = False
    problems: tuple[int, ...] = (400, 503)
    content_type: str = JSON
    status: int = 200

    @property
    def name(self) -> str:
        """A name for it: its handler's."""
        return self.handler.__name__

    @property
    def path_names(self) -> list[str]:
        """Names of the path's parts that vary."""
        return re.findall(r"{(\w+)}", self.path)


def _limit(default: int, most: int) -> Parameter:
    return Parameter("limit", "How many entries at most.", "integer", default, 1, most)


_CATEGORY = Parameter("category", "Only items of this category of the catalogue.", low=1, high=4000)
_WISHES = (
    _limit(10, MOST_RECOMMENDATIONS),
    Parameter("exclude", "An item not to recommend; may be repeated.", "ids"),
    Parameter("basket", "An item in the visitor's hands, a seed of weight 1; may be repeated.", "ids"),
    _CATEGORY,
    Parameter("keep_held", "Recommend also what the customer holds.", "boolean", default=False),
    Parameter("popularity_share", "Share of popularity beside the lists.", "number", POPULARITY_SHARE, 0, 1),
    Parameter("repeats_share", "Share of the customer's own repeats; above 0 keeps what is held.", "number", 0.0, 0, 1),
    Parameter("reasons", "How many reasons to name of each.", "integer", SHOWN_REASONS, 1, MOST_SEEDS + 2),
)
_FRESH = Parameter("fresh", "Compute the list now instead of serving the published one.", "boolean", default=False)
_DAYS = Parameter("days", "Days of event time, the newest purchase's being one.", "integer", BESTSELLER_DAYS, 1, DAYS)
_TEXT = Parameter("q", "Words, each of which must be in the item's id or title.", low=1, high=600, required=True)
_WATCHED = Parameter("item_id", "The item whose list is watched.", low=1)

ROUTES = (
    Route(
        "GET",
        "/items/{item_id}",
        handlers.item,
        "An item: what it is, who bought it, how often, and when.",
        "Item",
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/items/{item_id}/related",
        handlers.related,
        "An item's related list, with everything its scores are made of.",
        "RelatedList",
        (_limit(LONGEST_LIST, LONGEST_LIST), _FRESH),
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/customers/{customer_id}",
        handlers.customer,
        "A customer and the items bought last.",
        "Customer",
        (_limit(100, MOST_HELD),),
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/customers/{customer_id}/recommendations",
        handlers.recommendations,
        "Recommendations for a customer with their reasons; bestsellers for one without history.",
        "Recommendations",
        _WISHES,
    ),
    Route(
        "POST",
        "/recommendations",
        handlers.recommend_basket,
        "Recommendations for a basket.",
        "Recommendations",
        body="RecommendationRequest",
        problems=(400, 413, 415, 503),
    ),
    Route(
        "GET",
        "/bestsellers",
        handlers.bestsellers,
        "What was bought most in the last days of event time.",
        "Bestsellers",
        (_DAYS, _CATEGORY, _limit(20, MOST_RECOMMENDATIONS)),
    ),
    Route(
        "GET",
        "/search",
        handlers.search,
        "Items by id or title, and the customer of an id.",
        "Found",
        (_TEXT, _limit(12, 100)),
    ),
    Route(
        "GET",
        "/partitions",
        handlers.partitions,
        "How every partition stands: owner, offset, lag, size, freshness.",
        "Partitions",
    ),
    Route(
        "GET",
        "/quality",
        handlers.quality,
        "How often recommendations, and bestsellers, contained what the next order brought.",
        "Quality",
        problems=(400,),
    ),
    Route(
        "DELETE",
        "/customers/{customer_id}",
        handlers.erase,
        "Erase a customer: put the erasure into the log.",
        "Accepted",
        guarded=True,
        problems=(400, 401, 403, 404, 409, 503),
        status=202,
    ),
    Route(
        "POST",
        "/orders",
        handlers.order,
        "Put an order into the log.",
        "Accepted",
        body="Order",
        guarded=True,
        problems=(400, 401, 403, 409, 413, 415, 503),
        status=202,
    ),
    Route(
        "GET",
        "/events",
        events,
        "Live changes, as server-sent events.",
        parameters=(_WATCHED,),
        content_type="text/event-stream",
    ),
    Route("GET", "/health/live", handlers.live, "Whether the process runs.", "Health", problems=(400,)),
    Route("GET", "/health/ready", handlers.ready, "Whether it can be asked.", "Health"),
    Route("GET", "/metrics", handlers.metrics, "Metrics for Prometheus.", content_type=METRICS_TYPE.split(";")[0]),
    Route("GET", "/openapi.json", handlers.openapi, "This description.", problems=(400,)),
    Route("GET", "/", page, "The page.", content_type="text/html", problems=(400,)),
    Route("GET", "/page/{file}", page_file, "A file of the page.", content_type="text/plain", problems=(400, 404)),
)
