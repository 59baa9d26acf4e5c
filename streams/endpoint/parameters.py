"""Reading requests: query parameters, and ids in the path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from producers.orders import LONGEST_ID_BYTES
from streams.endpoint.problems import bad_parameter
from streams.recommendations.request import NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.endpoint.requests import Parameter


def read_query(query: str, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The values of the given parameters, by name.

    Args:
        query: as it was sent: a comma separates texts of a list, and %2C is a comma within one.
        parameters: those that there are.

    Raises:
        Problem: a parameter is invalid, missing or unknown; the detail names it.
    """
    known = {parameter.name: parameter for parameter in parameters}
    given: dict[str, list[str]] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        given.setdefault(_decoded(name), []).append(value)
    for name in given:
        if name not in known:
            names = ", ".join(known) or "none"
            raise bad_parameter(repr(name)[1:-1][:60], f"is unknown; this route takes: {names}")
    values = {}
    for name, parameter in known.items():
        if name in given:
            values[name] = read_parameter(parameter, given[name])
        elif parameter.required:
            raise bad_parameter(name, f"is missing: {parameter.description}")
    return values


def read_parameter(parameter: Parameter, texts: Sequence[str]) -> Any:  # noqa: ANN401 - of the parameter's kind
    """The value of a parameter, from its texts as they were sent.

    Raises:
        Problem: the value is invalid, or given too often.
    """
    name = parameter.name
    if parameter.several:
        texts = [_decoded(text) for text in texts] if parameter.kind == "names" else texts
        values = [_decoded(value) for text in texts for value in text.split(",")]
        if len(values) > parameter.most:
            raise bad_parameter(name, f"has {len(values)} values, more than {parameter.most}: use a body")
        return tuple(_read_text(parameter, value) for value in values)
    if len(texts) > 1:
        raise bad_parameter(name, f"is given {len(texts)} times: give it once")
    text = _decoded(texts[0])
    if parameter.kind == "string":
        return _read_text(parameter, text)
    if parameter.kind == "choice":
        if text not in parameter.choices:
            raise bad_parameter(name, f"is {text[:60]!r}, not {' or '.join(parameter.choices)}")
        return text
    if parameter.kind == "boolean":
        if text not in ("true", "false"):
            raise bad_parameter(name, f"is {text[:60]!r}, not true or false")
        return text == "true"
    return _read_number(parameter, text)


def _decoded(text: str) -> str:
    """Text of a query; bytes that are not UTF-8 become surrogates, which are refused with the parameter's name."""
    return unquote_plus(text, errors="surrogateescape")


def _read_number(parameter: Parameter, text: str) -> float:
    number, kind = (int, "a whole number") if parameter.kind == "integer" else (float, "a number")
    low, high = parameter.low or 0, parameter.high or 0
    try:
        value = number(text) if text.isascii() and "_" not in text and text == text.strip() else None
    except ValueError:
        value = None
    if value is None or not low <= value <= high:  # NaN is in no range
        raise bad_parameter(parameter.name, f"is {text[:60]!r}, not {kind} from {low} to {high}")
    return value


def _read_text(parameter: Parameter, text: str) -> str:
    low, high = parameter.low or 0, parameter.high or 0
    _check_utf8(parameter.name, text)
    if not low <= len(text) <= high:
        raise bad_parameter(parameter.name, f"has {len(text)} characters, not {low} to {high}")
    if parameter.kind == "names" and not re.match(NAME_PATTERN, text):
        raise bad_parameter(parameter.name, f"is {text[:60]!r}, which has a colon or ^: that is no name")
    return text


def check_path_part(name: str, value: str) -> None:
    """Check an id in the path.

    Raises:
        Problem: no item or customer can have this id.
    """
    _check_utf8(name, value)
    size = len(value.encode())
    if size > LONGEST_ID_BYTES:
        raise bad_parameter(name, f"has {size} bytes; no id has more than {LONGEST_ID_BYTES}")


def _check_utf8(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise bad_parameter(name, "is not UTF-8") from None
