"""What the OpenAPI document says of the fields of answers and bodies, and examples of requests."""

from __future__ import annotations

from typing import Any

FIELDS = {
    "answer": "What the question alone would have been answered.",
    "as_of": "The log prefix that the answer reflects.",
    "at": "How many recommendations count.",
    "attributes": "Attributes of the catalogue, value by name.",
    "available": "Whether it may be shown now.",
    "because": "The reasons, the largest share first.",
    "begin": "Its first second.",
    "bestseller_hit_rate": "Running rate at the end of the day.",
    "bestseller_hits": "Scored orders that contained a bestseller.",
    "bestsellers": "The items, best first.",
    "bought_together": "N: customers who hold both items, or orders that do.",
    "brand": "Brand in the catalogue.",
    "buyers": "Customers who hold the item, or orders that do.",
    "categories": "Those with most items first.",
    "category": "Category in the catalogue, or the one asked for.",
    "commits": "Commits of the store, or of all stores in the minute.",
    "complete": "Whether the search looked at every item.",
    "current": "By item partition: whether every published list is exact.",
    "customer_id": "Id of the customer.",
    "customers": "The customer with exactly that id, if there is one.",
    "cut": "Lists are no longer: other items may be related as well.",
    "daily_purchases": "Purchases of the last sixty days, the latest last.",
    "day": "UTC day, as 2024-02-29.",
    "days": "Days, the last that of the newest purchase.",
    "detail": "What is wrong, what was expected, and what to do.",
    "difference": "N - E.",
    "epochs": "Spans of 30 days, the oldest first.",
    "exact": "Whether every published list equals the one computed from the counts.",
    "event": "Type of the event by which the item is a seed, if it is not held.",
    "events": "Events that are kept as seeds, latest first.",
    "expected": "E: the customers or orders that would hold both by heavy buying alone.",
    "filler": "Purchases in all of an item that only fills the list up.",
    "first": "Time of the first purchase.",
    "first_day": "First UTC day of the epoch.",
    "generation": "Name of the generation.",
    "group_id": "Group in the catalogue: the product that it is a variant of.",
    "history": "Items held, the last bought first.",
    "hit_rate": "Running rate at the end of the day.",
    "hits": "Scored orders that contained a recommendation.",
    "ignored": "Items of the basket that nobody has bought.",
    "image": "Address of its picture.",
    "in_stock": "Whether the catalogue has this very item in stock.",
    "ingest": "Stage A, if it runs here.",
    "instance": "Path of the request.",
    "item_count": "Items of the category, also those that may not be shown.",
    "item_id": "Id of the item, compared exactly.",
    "items": "The items found.",
    "items_held": "How many items the customer holds.",
    "kind": "purchases (histories) or items (counts and lists).",
    "known": "Whether there was a history or a basket to go by.",
    "lag": "Records waiting to be counted.",
    "last": "Time of the last purchase.",
    "last_day": "Last UTC day of the epoch.",
    "lines": "Order lines.",
    "lists_published": "Lists published, since the start or in the minute.",
    "matching": "How many there are on all pages.",
    "minutes": "Minutes of the process's clock, the latest last.",
    "new_pairs": "Customers who hold both since this epoch, or orders that do.",
    "next_offset": "The offset of the next page, if there is one.",
    "offset": "Position in the log.",
    "offsets": "Position in the log, by partition.",
    "oldest_change_s": "Age of the oldest change not yet considered for publishing.",
    "oldest_unpublished_ms": "Age of the oldest change that no published list reflects yet.",
    "order_id": "Id of the order, by which repeated lines are recognised.",
    "orders": "Scored orders.",
    "other": "The other item.",
    "others": "How many further reasons share this part.",
    "owner": "The worker that answers for it; empty if there is none.",
    "parameter": "Name of the invalid parameter.",
    "pairs": "What pairs are counted of: customers, or orders.",
    "partition": "Number of the partition.",
    "partitions": "Every partition.",
    "popularity": "Share of recent purchases.",
    "price": "Price in the catalogue, as the shop writes it.",
    "problem": "Why the question alone would have had no answer.",
    "purchases": "Purchases.",
    "quantity": "How many were bought.",
    "recommendations": "The items, best first.",
    "records": "Records copied since the start.",
    "rejected": "Rejected lines.",
    "rekey": "The copy by customer, if it runs here.",
    "related": "The items, best first.",
    "repeats": "How often the customer has bought the item.",
    "results": "One for each question, in the order in which they were asked.",
    "running_half_life_days": "Half-life of the running rates.",
    "score": "What ranks the item, or the name of the score.",
    "share": "Part of the score.",
    "skipped": "Records skipped, by event type that is not counted.",
    "standby": "Records behind the owner, by partition on standby.",
    "state_bytes": "Bytes on disk.",
    "status": "Status.",
    "stores": "Directories that were written.",
    "tally": "Stage B, if it runs here.",
    "timestamp": "Event time.",
    "title": "Title.",
    "to": "Directory, below the worker's --snapshot-root.",
    "trend": "Popularity of the last days over that of all time.",
    "type": "Type: of a problem, its URI; of an order, purchase, return, or another event.",
    "url": "Address of its page.",
    "widened_to_days": "Days that were looked at, since nothing was bought in those asked for.",
    "worker": "The worker that answered.",
}
"""By name: a name means the same wherever it is."""

BODIES: dict[str, Any] = {
    "related_lists": {"items": ["1082185", "1029743"], "limit": 4, "fields": ["title", "url", "image", "price"]},
    "recommend_basket": {"basket": ["1082185"], "limit": 6, "where": ["price:..20"], "fields": ["title", "image"]},
    "order": {"customer_id": "2070", "timestamp": "2024-02-29T12:00:00Z", "order_id": "o1", "item_id": "1082185"},
    "snapshot": {"to": "2024-02-29"},
}
"""Examples of bodies, by handler."""
PARTS = {"item_id": "1082185", "other": "1029743", "customer_id": "2070"}
"""Examples of variable parts of paths."""
PARAMETERS: dict[str, Any] = {
    "basket": ["1082185", "1029743"],
    "boost": ["brand:Acme^1.5"],
    "fields": ["title", "url", "image"],
    "q": "green tea",
    "where": ["brand:Acme", "price:10..20"],
    "where_not": ["colour:red"],
}
"""Examples of parameters, where they say more than the description."""

TAGS = {
    "Items": "Items and what is bought with them.",
    "Visitors": "Recommendations and bestsellers, and the customers that they are for.",
    "Log": "What changes the counts; the token of writers is needed.",
    "State": "How the process stands: health, metrics, partitions.",
}
_TAG_OF = {
    **dict.fromkeys(("items", "related", "search", "catalogue", "categories"), "Items"),
    **dict.fromkeys(("customers", "recommendations", "bestsellers"), "Visitors"),
    **dict.fromkeys(("orders", "snapshot"), "Log"),
    **dict.fromkeys(
        ("partitions", "quality", "rates", "events", "health", "metrics", "openapi.json", "status"), "State"
    ),
}


def tag_of(path: str) -> str:
    """The tag of a route.

    >>> tag_of("/v1/items/{item_id}/related"), tag_of("/health/live")
    ('Items', 'State')
    """
    first, *rest = path.strip("/").split("/")
    return _TAG_OF[rest[0] if first == "v1" else first]
