"""Reading requests: query parameters, and ids in the path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from producers.orders import LONGEST_ID_BYTES
from streams.endpoint.problems import bad_parameter
from streams.endpoint.requests import MOST_IDS_IN_QUERY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multidict import MultiMapping

    from streams.endpoint.requests import Parameter


def read_query(query: MultiMapping[str], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The values of the given parameters, by name.

    Raises:
        Problem: a parameter is invalid, missing or unknown; the detail names it.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in query:
        if name not in known:
            names = ", ".join(known) or "none"
            raise bad_parameter(repr(name)[1:-1][:60], f"is unknown; this route takes: {names}")
    values = {}
    for name, parameter in known.items():
        texts = query.getall(name, [])
        if texts:
            values[name] = read_parameter(parameter, texts)
        elif parameter.required:
            raise bad_parameter(name, f"is missing: {parameter.description}")
    return values


def read_parameter(parameter: Parameter, texts: Sequence[str]) -> Any:  # noqa: ANN401 - of the parameter's kind
    """The value of a parameter, from its texts in the query.

    Raises:
        Problem: the value is invalid, or given too often.
    """
    name = parameter.name
    if parameter.kind == "ids":
        if len(texts) > MOST_IDS_IN_QUERY:
            raise bad_parameter(name, f"is given {len(texts)} times, more than {MOST_IDS_IN_QUERY}: use a body")
        return tuple(_read_text(parameter, text) for text in texts)
    if len(texts) > 1:
        raise bad_parameter(name, f"is given {len(texts)} times: give it once")
    (text,) = texts
    if parameter.kind == "string":
        return _read_text(parameter, text)
    if parameter.kind == "boolean":
        if text not in ("true", "false"):
            raise bad_parameter(name, f"is {text[:60]!r}, not true or false")
        return text == "true"
    return _read_number(parameter, text)


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
