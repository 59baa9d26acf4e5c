"""Results of several questions that are asked together: each has what its own request would have got."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from streams.endpoint.answer_documents import Result
from streams.endpoint.answers import AnswerError
from streams.endpoint.client import path_of
from streams.endpoint.problems import ANSWER_TOO_LARGE, NOT_READY, Problem, problem_of
from streams.endpoint.requests import API

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from streams.endpoint.answer_documents import Document

PAUSE_EVERY = 10
"""Answers after which other requests have a turn."""
_encode = msgspec.json.Encoder().encode


class Questions:
    """Questions of one kind, by the id that each is about.

    Args:
        name: of the ids in results: `item_id` or `customer_id`.
        path_of: path of the request that asks about one id alone.
    """

    def __init__(self, name: str, path_of: Callable[[str], str]) -> None:
        self._name = name
        self._path_of = path_of

    def answered(self, about: str, document: Document) -> Result:
        """The result of a question that was answered."""
        return self._result(about, answer=msgspec.Raw(_encode(document)))

    def failed(self, about: str, error: AnswerError) -> Result:
        """The result of a question that cannot be answered."""
        return self._result(about, problem=problem_of(error).document(self._path_of(about)))

    async def each(
        self,
        ids: Iterable[str],
        ask: Callable[[str], Awaitable[Document]],
        elsewhere: tuple[type[AnswerError], ...] = (),
    ) -> dict[str, Result]:
        """The results of these questions by id, but for those that raise an error of `elsewhere`."""
        results = {}
        for number, about in enumerate(ids, 1):
            try:
                results[about] = self.answered(about, await ask(about))
            except elsewhere:
                continue
            except AnswerError as error:
                results[about] = self.failed(about, error)
            if number % PAUSE_EVERY == 0:
                await asyncio.sleep(0)
        return results

    def within(self, results: Sequence[Result], largest_bytes: int) -> list[msgspec.Raw]:
        """Results as JSON of so many bytes at most: from where they would have more, answers are refused."""
        encoded = []
        left = largest_bytes
        for result in results:
            one = _encode(result)
            if len(one) > left and result.problem is None:
                about: str = getattr(result, self._name)
                text = f"the answers before this one leave no room in {largest_bytes} bytes: ask for fewer at a time"
                problem = Problem(ANSWER_TOO_LARGE.status, text, kind=ANSWER_TOO_LARGE)
                one = _encode(self._result(about, problem=problem.document(self._path_of(about))))
                left = 0
            left -= len(one)
            encoded.append(msgspec.Raw(one))
        return encoded

    def _result(self, about: str, **what: Any) -> Result:  # noqa: ANN401 - an answer or a problem
        return Result(**{self._name: about, **what})


LISTED = Questions("item_id", lambda item_id: path_of(API, "items", item_id, "related"))
RECOMMENDED = Questions("customer_id", lambda customer_id: path_of(API, "customers", customer_id, "recommendations"))


def is_passing(result: Result) -> bool:
    """Whether the question was not answered, and may be in a moment."""
    return result.problem is not None and result.problem.get("type") == NOT_READY.uri
