"""The request for recommendations, defined once for the endpoint, the command line and requests between workers.

This module imports neither compiled loops nor stores, so that the command line loads quickly.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from producers.orders import LONGEST_ID_BYTES
from streams.catalogue.catalogue import LONGEST_TEXT

MOST_SEEDS = 100
"""Items whose related lists are merged: those in the basket, then those bought last."""
MOST_RECOMMENDATIONS = 500
MOST_EXCLUDED = 1000
NAMED_REASONS = 5
"""Reasons named for each recommendation by default; the rest is one entry."""
POPULARITY_SHARE = 0.4
"""What popularity contributes to a score by default; the related lists contribute the rest."""
REPEATS_SHARE = 0.6
"""A good share for shops whose customers buy the same items again; off by default."""
BESTSELLER_DAYS = 14
"""Days of event time that bestsellers count by default, and always for customers without history."""

ItemId = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID_BYTES)]
Category = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class RecommendationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which recommendations a visitor gets."""

    customer_id: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID_BYTES)] | None,
        msgspec.Meta(description="The customer whose history is used; null uses the basket alone."),
    ] = None
    limit: Annotated[
        int, msgspec.Meta(ge=1, le=MOST_RECOMMENDATIONS, description="How many recommendations at most.")
    ] = 10
    basket: Annotated[
        tuple[ItemId, ...],
        msgspec.Meta(max_length=MOST_SEEDS, description="An item in the visitor's basket, a seed of weight 1."),
    ] = ()
    exclude: Annotated[
        tuple[ItemId, ...], msgspec.Meta(max_length=MOST_EXCLUDED, description="An item not to recommend.")
    ] = ()
    category: Annotated[Category | None, msgspec.Meta(description="Only items of this category of the catalogue.")] = (
        None
    )
    keep_held: Annotated[bool, msgspec.Meta(description="Also recommend items that the customer holds.")] = False
    popularity_share: Annotated[
        Share, msgspec.Meta(description="Share of popularity in a score, beside the related lists.")
    ] = POPULARITY_SHARE
    repeats_share: Annotated[
        Share,
        msgspec.Meta(
            description="Share of the customer's own repeats; above 0, held items are recommended too. "
            f"{REPEATS_SHARE:g} suits shops whose customers buy the same items again."
        ),
    ] = 0.0
    reasons: Annotated[int, msgspec.Meta(ge=1, le=MOST_SEEDS + 2, description="How many reasons to name for each.")] = (
        NAMED_REASONS
    )
