"""The routes of the endpoint: the request, the answer and the handler of each."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streams.endpoint import handlers, schemas
from streams.endpoint.events import events
from streams.endpoint.metrics import METRICS_TYPE
from streams.endpoint.page_files import page, page_file
from streams.endpoint.requests import (
    API,
    BestsellersRequest,
    CatalogueRequest,
    CategoriesRequest,
    CustomerRequest,
    EventsRequest,
    RelatedListsRequest,
    RelatedRequest,
    SearchRequest,
    parameters_of,
)
from streams.recommendations.request import RecommendationRequest, RecommendationsRequest

if TYPE_CHECKING:
    import msgspec
    from aiohttp import web

    from streams.endpoint.handlers import RequestContext
    from streams.endpoint.requests import Parameter

Handler = Callable[["RequestContext"], Awaitable["web.StreamResponse"]]
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    Attributes:
        method: HTTP method.
        path: path, with variable parts in braces; that of the JSON API begins with its version.
        handler: answers requests.
        summary: one sentence.
        schema: type of the answer, or several of which it is one; None if the answer is no JSON document.
        request: type whose fields are the query parameters, except those in the path; None if there are none.
        body: type of the body; None if there is none.
        guarded: whether the token is required.
        problems: statuses of possible problem documents.
        content_type: content type of the answer.
        status: status of the answer.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    schema: type | tuple[type, ...] | None = None
    request: type[msgspec.Struct] | None = None
    body: type | None = None
    guarded: bool = False
    problems: tuple[int, ...] = (400, 503)
    content_type: str = JSON
    status: int = 200

    @property
    def open(self) -> bool:
        """Whether it is answered without the token of readers: it tells nothing of the state."""
        return self.path.startswith(("/health/", "/page/")) or self.path in ("/", "/openapi.json")

    @property
    def shared(self) -> bool:
        """Whether web pages of other origins may ask, if any may: the JSON API, but for what writes."""
        return self.path.startswith(f"/{API}/") and not self.guarded

    @property
    def described(self) -> bool:
        """Whether it is in the OpenAPI document, as all are but those of the page."""
        return self.path != "/" and not self.path.startswith("/page/")

    @property
    def schemas(self) -> tuple[type, ...]:
        """The types of the answer."""
        if self.schema is None:
            return ()
        return self.schema if isinstance(self.schema, tuple) else (self.schema,)

    @property
    def name(self) -> str:
        """Name of the handler."""
        return self.handler.__name__

    @property
    def paths(self) -> tuple[str, ...]:
        """The path and, of the JSON API, the one that it had before it had a version."""
        unversioned = self.path.removeprefix(f"/{API}")
        return (self.path,) if unversioned == self.path else (self.path, unversioned)

    @property
    def path_names(self) -> list[str]:
        """Names of the variable parts of the path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of the query."""
        fields = () if self.request is None else parameters_of(self.request)
        return tuple(field for field in fields if field.name not in self.path_names)


ROUTES = (
    Route(
        "GET",
        "/v1/items/{item_id}",
        handlers.item,
        "An item: its catalogue entry, buyers, popularity, and daily purchases.",
        schemas.Item,
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/v1/items/{item_id}/related",
        handlers.related,
        "An item's related list, with the counts behind its scores.",
        schemas.RelatedList,
        RelatedRequest,
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/v1/items/{item_id}/related/{other}",
        handlers.pair,
        "How an item and another came to be related, epoch by epoch.",
        schemas.Pair,
        problems=(400, 404, 503),
    ),
    Route(
        "POST",
        "/v1/related",
        handlers.related_lists,
        "The related lists of several items, each as if it were asked for alone.",
        schemas.RelatedResults,
        body=RelatedListsRequest,
        problems=(400, 413, 415, 503),
    ),
    Route(
        "GET",
        "/v1/customers/{customer_id}",
        handlers.customer,
        "A customer and the items bought last.",
        schemas.Customer,
        CustomerRequest,
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/v1/customers/{customer_id}/recommendations",
        handlers.recommend_customer,
        "Recommendations for a customer with their reasons; bestsellers for a customer without history.",
        schemas.Recommendations,
        RecommendationRequest,
    ),
    Route(
        "GET",
        "/v1/recommendations",
        handlers.recommend_visitor,
        "Recommendations for a basket.",
        schemas.Recommendations,
        RecommendationRequest,
    ),
    Route(
        "POST",
        "/v1/recommendations",
        handlers.recommend_basket,
        "Recommendations for a basket, or for each of several customers.",
        (schemas.Recommendations, schemas.RecommendationResults),
        body=RecommendationsRequest,
        problems=(400, 413, 415, 503),
    ),
    Route(
        "GET",
        "/v1/bestsellers",
        handlers.bestsellers,
        "The most bought items of the last days of event time.",
        schemas.Bestsellers,
        BestsellersRequest,
    ),
    Route(
        "GET",
        "/v1/search",
        handlers.search,
        "Items by id or title, and the customer with that id.",
        schemas.SearchResults,
        SearchRequest,
    ),
    Route(
        "GET",
        "/v1/catalogue",
        handlers.catalogue,
        "Items that may be shown, the most bought first, page by page.",
        schemas.CatalogueItems,
        CatalogueRequest,
    ),
    Route(
        "GET",
        "/v1/categories",
        handlers.categories,
        "The categories of the catalogue.",
        schemas.Categories,
        CategoriesRequest,
        problems=(400,),
    ),
    Route(
        "GET",
        "/v1/partitions",
        handlers.partitions,
        "The status of every partition: owner, offset, lag, size, freshness.",
        schemas.Partitions,
    ),
    Route(
        "GET",
        "/v1/quality",
        handlers.quality,
        "Hit rates of recommendations and bestsellers, scored before each order was counted.",
        schemas.Quality,
        problems=(400,),
    ),
    Route(
        "GET",
        "/v1/rates",
        handlers.rates,
        "What this process did in each minute of the last hour.",
        schemas.Rates,
        problems=(400,),
    ),
    Route(
        "DELETE",
        "/v1/customers/{customer_id}",
        handlers.erase,
        "Erase a customer: append the erasure to the log.",
        schemas.Accepted,
        guarded=True,
        problems=(400, 401, 403, 404, 409, 503),
        status=202,
    ),
    Route(
        "POST",
        "/v1/orders",
        handlers.order,
        "Append an order to the log.",
        schemas.Accepted,
        body=schemas.Order,
        guarded=True,
        problems=(400, 401, 403, 409, 413, 415, 503),
        status=202,
    ),
    Route(
        "GET",
        "/v1/events",
        events,
        "Live changes, as server-sent events.",
        request=EventsRequest,
        content_type="text/event-stream",
    ),
    Route("GET", "/health/live", handlers.live, "Whether the process runs.", schemas.Health, problems=(400,)),
    Route("GET", "/health/ready", handlers.ready, "Whether questions can be answered.", schemas.Health),
    Route("GET", "/metrics", handlers.metrics, "Metrics for Prometheus.", content_type=METRICS_TYPE.split(";")[0]),
    Route("GET", "/openapi.json", handlers.openapi, "This description.", problems=(400,)),
    Route("GET", "/", page, "The page.", content_type="text/html", problems=(400,)),
    Route("GET", "/page/{file}", page_file, "A file of the page.", content_type="text/plain", problems=(400, 404)),
)
