"""What workers ask each other besides the public questions, as msgpack: bounded, and never handed on."""

# no `from __future__ import annotations`: msgspec reads the annotations at run time
from typing import Annotated

import msgspec
import numpy as np

from state.related_store import StoredList
from streams.endpoint.answers import Wishes
from streams.recommendations.recommend import MOST_SEEDS

MSGPACK = "application/msgpack"
LISTS_PATH = "/internal/lists"
RECOMMENDATIONS_PATH = "/internal/recommendations"


class HeldIds(msgspec.Struct, array_like=True):
    """What a customer holds: k items by id, and of each when last, as which, and how often it was bought."""

    item_ids: list[str] = []
    last: list[int] = []
    seq: list[int] = []
    purchases: list[int] = []


class ListsQuestion(msgspec.Struct):
    """Which published lists are wanted, all of partitions that one worker owns."""

    item_ids: Annotated[list[str], msgspec.Meta(max_length=MOST_SEEDS)]


class PublishedList(msgspec.Struct, array_like=True):
    """A list of k entries: their ids, and score, N and E of each as float64."""

    item_ids: list[str]
    figures: bytes

    @classmethod
    def of(cls, item_ids: list[str], stored: StoredList) -> "PublishedList":
        """A stored list, whose items have these ids."""
        return cls(item_ids, np.concatenate([stored.score, stored.together, stored.expected]).tobytes())

    def columns(self) -> np.ndarray:
        """(3, k) float64."""
        return np.frombuffer(self.figures, np.float64).reshape(3, len(self.item_ids))


class RecommendationsQuestion(msgspec.Struct):
    """Recommendations for someone whose history this is; for workers that have histories but no items."""

    customer_id: str | None
    held: HeldIds
    wishes: Wishes


encode = msgspec.msgpack.Encoder().encode
decode_lists_question = msgspec.msgpack.Decoder(ListsQuestion).decode
decode_lists = msgspec.msgpack.Decoder(list[PublishedList]).decode
decode_recommendations_question = msgspec.msgpack.Decoder(RecommendationsQuestion).decode
