"""The request for recommendations, defined once for the endpoint, the command line and requests between workers.

This module imports neither compiled loops nor stores, so that the command line loads quickly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from producers.orders import LONGEST_ID_BYTES
from streams.catalogue.catalogue import LONGEST_NAME, LONGEST_TEXT, MOST_ATTRIBUTES, SHOWN_FIELDS
from streams.catalogue.conditions import Condition, admitted_by, boost_of, condition_of

if TYPE_CHECKING:
    from streams.catalogue.conditions import Mask, Test

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

NAME_PATTERN = "^[^:^,]+$"
"""Of the name of a field or attribute."""
ItemId = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID_BYTES)]
Category = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_TEXT)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
FieldName = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME, pattern=NAME_PATTERN)]


MOST_CUSTOMERS = 100
"""For whom recommendations may be asked at once."""


MOST_CONDITIONS = 20
MOST_BOOSTS = 10
LARGEST_OFFSET = 1000
LONGEST_CONDITION = LONGEST_TEXT + LONGEST_NAME + 20
ConditionText = Annotated[str, msgspec.Meta(min_length=3, max_length=LONGEST_CONDITION)]


class BadCondition(ValueError):
    """A condition that cannot be read.

    Attributes:
        field: of the request.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class ListRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of every list: which items it may have, and what is said of each."""

    fields: Annotated[
        tuple[FieldName, ...],
        msgspec.Meta(
            max_length=len(SHOWN_FIELDS) + MOST_ATTRIBUTES,
            description=f"What to say of each item: {', '.join(SHOWN_FIELDS)}, or the name of an attribute.",
        ),
    ] = ("title",)
    category: Annotated[Category | None, msgspec.Meta(description="Only items of this category of the catalogue.")] = (
        None
    )
    where: Annotated[
        tuple[ConditionText, ...],
        msgspec.Meta(
            max_length=MOST_CONDITIONS,
            description="Only items with this value, as in brand:Acme, colour:red or price:10..20; "
            "of several values of one field, one is enough.",
        ),
    ] = ()
    where_not: Annotated[
        tuple[ConditionText, ...],
        msgspec.Meta(max_length=MOST_CONDITIONS, description="No items with this value, as in brand:Acme."),
    ] = ()
    boost: Annotated[
        tuple[ConditionText, ...],
        msgspec.Meta(
            max_length=MOST_BOOSTS, description="Multiply the score of items with this value, as in brand:Acme^1.5."
        ),
    ] = ()
    in_stock: Annotated[bool, msgspec.Meta(description="Only items in stock; false adds those that are sold out.")] = (
        True
    )
    offset: Annotated[
        int, msgspec.Meta(ge=0, le=LARGEST_OFFSET, description="How many entries to leave out, the best ones.")
    ] = 0

    def __post_init__(self) -> None:
        """Check that conditions can be read.

        Raises:
            BadCondition: one cannot; the message says which.
        """
        for field, texts, read in (
            ("where", self.where, condition_of),
            ("where_not", self.where_not, condition_of),
            ("boost", self.boost, boost_of),
        ):
            try:
                for text in texts:
                    read(text)
            except ValueError as error:
                raise BadCondition(field, str(error)) from None

    @property
    def filtered(self) -> bool:
        """Whether items are chosen by more than whether they can be had."""
        return bool(self.category or self.where or self.where_not or self.boost or not self.in_stock)

    def admitted(self, admitted: Mask, test: Test) -> Mask:
        """(n,) which of the admitted items are asked for."""
        if self.category is not None:
            admitted = admitted & test(Condition("category", self.category))
        return admitted_by(self.where, self.where_not, admitted, test)


class RecommendationRequest(ListRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
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

    def of_customer(self, customer_id: str | None) -> RecommendationRequest:
        """The same for another customer, or none."""
        fields = {name: getattr(self, name) for name in RecommendationRequest.__struct_fields__}
        return RecommendationRequest(**{**fields, "customer_id": customer_id})


class RecommendationsRequest(RecommendationRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which recommendations a visitor gets, or each of several customers."""

    customers: Annotated[
        tuple[ItemId, ...],
        msgspec.Meta(
            max_length=MOST_CUSTOMERS,
            description="Customers, each of whom gets recommendations of their own; the answer has `results`.",
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Check that it is for one visitor or for several customers, and its conditions.

        Raises:
            ValueError: it is for both, or a condition cannot be read.
        """
        ListRequest.__post_init__(self)
        if self.customers and self.customer_id is not None:
            raise ValueError("customer_id and customers are both given: give one of them")
