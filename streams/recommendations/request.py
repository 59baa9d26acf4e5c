"""What can be asked of recommendations: defined here once, for the endpoint, the command line and between workers.

This module loads neither compiled loops nor stores, so that the command line can say what there is to ask.
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
"""Reasons named of each recommendation unless asked otherwise; the rest is one entry."""
POPULARITY_SHARE = 0.4
"""What popularity contributes to a score unless asked otherwise; the related lists contribute the rest."""
REPEATS_SHARE = 0.6
"""What suits a shop whose customers buy the same again; off unless asked for."""
BESTSELLER_DAYS = 14
"""Days of event time over which bestsellers are counted unless asked otherwise, and for customers without history."""

ItemId = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID_BYTES)]
Category = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class RecommendationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which recommendations a visitor gets: the one definition of what can be asked."""

    customer_id: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID_BYTES)] | None,
        msgspec.Meta(description="Whose history is used; null: nobody's, only the basket."),
    ] = None
    limit: Annotated[
        int, msgspec.Meta(ge=1, le=MOST_RECOMMENDATIONS, description="How many recommendations at most.")
    ] = 10
    basket: Annotated[
        tuple[ItemId, ...],
        msgspec.Meta(max_length=MOST_SEEDS, description="An item in the visitor's hands, a seed of weight 1."),
    ] = ()
    exclude: Annotated[
        tuple[ItemId, ...], msgspec.Meta(max_length=MOST_EXCLUDED, description="An item not to recommend.")
    ] = ()
    category: Annotated[Category | None, msgspec.Meta(description="Only items of this category of the catalogue.")] = (
        None
    )
    keep_held: Annotated[bool, msgspec.Meta(description="Also recommend what the customer holds.")] = False
    popularity_share: Annotated[
        Share, msgspec.Meta(description="Share of popularity in a score, beside the related lists.")
    ] = POPULARITY_SHARE
    repeats_share: Annotated[
        Share,
        msgspec.Meta(
            description="Share of the customer's own repeats; above 0 keeps what is held. "
            f"{REPEATS_SHARE:g} suits shops whose customers buy the same again."
        ),
    ] = 0.0
    reasons: Annotated[int, msgspec.Meta(ge=1, le=MOST_SEEDS + 2, description="How many reasons to name for each.")] = (
        NAMED_REASONS
    )
