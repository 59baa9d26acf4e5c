"""Parameters of requests: declared once, read from the query and described in OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from streams.endpoint.problems import bad_parameter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import MultiMapping

LONGEST_ID_BYTES = 512
MOST_IDS = 1000
"""Ids in a body."""
MOST_IDS_IN_QUERY = 20


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query.

    Attributes:
        name: as it stands in the query.
        description: one sentence.
        kind: `integer`, `number`, `boolean`, `string`, or `ids` (may be repeated).
        default: when it is missing; None where that says something of its own.
        low, high: range of a number; of a string, bytes it has at least and at most.
        required: whether it must be there.
    """

    name: str
    description: str
    kind: str = "string"
    default: Any = None
    low: float | None = None
    high: float | None = None
    required: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its value."""
        if self.kind == "ids":
            return {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_ID_BYTES},
                "maxItems": MOST_IDS_IN_QUERY,
            }
        schema: dict[str, Any] = {"type": self.kind}
        names = ("minLength", "maxLength") if self.kind == "string" else ("minimum", "maximum")
        schema |= {name: bound for name, bound in zip(names, (self.low, self.high), strict=True) if bound is not None}
        if self.default is not None:
            schema["default"] = self.default
        return schema

    def read(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - what `kind` says
        """The value of what stands in a query, perhaps several times.

        Raises:
            Problem: it has no such value.
        """
        if self.kind == "ids":
            if len(texts) > MOST_IDS_IN_QUERY:
                raise bad_parameter(
                    self.name, f"is given {len(texts)} times, more than {MOST_IDS_IN_QUERY}: use a body"
                )
            return tuple(self._text(text, 1, LONGEST_ID_BYTES) for text in texts)
        if len(texts) > 1:
            raise bad_parameter(self.name, f"is given {len(texts)} times: give it once")
        (text,) = texts
        if self.kind == "string":
            return self._text(text, self.low or 0, self.high or LONGEST_ID_BYTES)
        if self.kind == "boolean":
            if text not in ("true", "false"):
                raise bad_parameter(self.name, f"is {text[:60]!r}, not true or false")
            return text == "true"
        return self.number(text)

    def number(self, text: str) -> float:
        """A number in range.

        Raises:
            Problem: it is none.
        """
        kind, name = (int, "a whole number") if self.kind == "integer" else (float, "a number")
        try:
            value = kind(text) if text.isascii() and "_" not in text and text == text.strip() else None
        except ValueError:
            value = None
        if value is None or not (self.low or 0) <= value <= (self.high or 0):
            raise bad_parameter(self.name, f"is {text[:60]!r}, not {name} from {self.low} to {self.high}")
        return value

    def _text(self, text: str, low: float, high: float) -> str:
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise bad_parameter(self.name, "is not UTF-8") from None
        if not low <= size <= high:
            raise bad_parameter(self.name, f"has {size} bytes, not {low} to {high}")
        return text


def read_query(query: MultiMapping[str], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The value of each parameter, by name.

    Raises:
        Problem: one is wrong, missing or unknown; the detail names it.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in query:
        if name not in known:
            taken = ", ".join(known) or "none"
            raise bad_parameter(repr(name)[1:-1][:60], f"is not known here; parameters are: {taken}")
    values = {}
    for name, parameter in known.items():
        texts = query.getall(name, [])
        if texts:
            values[name] = parameter.read(texts)
        elif parameter.required:
            raise bad_parameter(name, f"is missing: {parameter.description}")
        else:
            values[name] = () if parameter.kind == "ids" else parameter.default
    return values
