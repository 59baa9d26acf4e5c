"""The dialect of delimited text: separator, quotes, header, and the lines that are no rows."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from producers.logs.columns import FIELDS, OTHER_NAMES
from producers.logs.tables.delimited_table import split
from producers.notations import notations_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SEPARATORS = (",", ";", "\t", "|", "::", "\x01", "\x1f", "^", "~")
MOST_LINES = 2000
MOST_TITLES = 100
FOOTERS = {
    r"\(\d[\d,]* (?:rows?|row\(s\))(?: affected)?\)": "row counts",
    r"\d[\d,]* (?:rows?|records?) (?:selected|in set|affected|exported|returned).*": "row counts",
    r"(?i:query ok|records?:|rows?:|-- ?end|end of (?:file|report|data)|eof|\*{3}).*": "remarks",
    r"[-+=| ;,\t]*[-=]{3}[-+=| ;,\t]*": "rules",
}
"""Regular expressions of whole lines that are no rows, and what they are."""

TOTAL = r"[\"' ]*(?i:(?:grand |sub)?totals?|sum|summe|gesamt|somme|totale|suma)\b[\"' :]*(?:{separator}.*)?"
"""Of a line with totals; its first field says so."""

_DATES = ("year-first", "day-first", "month-first", "month-name")
_COMMENTS = ("#", "//", "--", "%", "!")
_WORDS = {name for names in OTHER_NAMES.values() for name in names} | {
    *FIELDS, "customer", "item", "timestamp", "quantity", "order", "price", "id", "name", "event", "type", "category"
}  # fmt: skip


class Dialect(NamedTuple):
    """How delimited text is divided into fields."""

    separator: str
    quote: str
    escape: str
    skip_lines: int
    header: bool
    names: tuple[str, ...]
    """Of the columns: those of the header, or their numbers from 1."""
    comment: str
    footers: tuple[str, ...]
    trailing_separator: bool
    rows: list[list[str]]
    """Of the sample, in order."""
    said: list[str]
    """What was found beside plain CSV, for people."""


def settle_dialect(
    lines: Sequence[str], later: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> Dialect:
    """The dialect of a text.

    Args:
        lines: its first lines, without line ends.
        later: whole lines from further on.
        settings: attributes of `LogFormat` that are given.

    >>> found = settle_dialect(["sep=;", "user;item;at", "ann;tea;2023-01-01", "bob;tea;2023-01-02"])
    >>> found.separator, found.skip_lines, found.names, found.rows[0]
    (';', 1, ('user', 'item', 'at'), ['ann', 'tea', '2023-01-01'])
    """
    everything, lines = lines, list(lines[:MOST_LINES])
    said: list[str] = []
    named = re.fullmatch(r"\"?sep=(.)\"?", lines[0].strip("\ufeff")) if lines else None
    first = 1 if named else 0
    comment = find_comment(lines)
    kept = [line for line in lines[first:] if line.strip() and not (comment and line.startswith(comment))]
    escape = _escape(kept)
    settings = settings or {}
    escape = settings.get("escape", escape)
    separator = settings.get("separator") or (named[1] if named else _separator(kept, escape))
    quote = settings.get("quote", _quote(kept, separator))
    widths = Counter(len(row) for row in split(kept, separator, quote, escape))
    width = _width(widths)
    heads = [
        [] if comment and line.startswith(comment) else next(iter(split([line], separator, quote, escape)), [])
        for line in lines[:MOST_TITLES]
    ]
    ended = [line for line in kept[1:] if not line.lower().startswith(("total", "("))]
    narrow = bool(ended) and sum(line.endswith(separator) for line in ended) > 0.9 * len(ended)
    head, header = find_head(heads, first, width, narrow=narrow)
    head = settings.get("skip_lines", head)
    header = settings.get("header", header)
    top = heads[head] if head < len(heads) else []
    below = [line for line in [*everything[head + (1 if header else 0) :], *later] if line.strip()]
    footers = find_footers(below, separator, lines[head] if header and head < len(lines) else None)
    no_rows = re.compile("|".join(f"(?:{pattern})" for pattern in footers)) if footers else None
    data = [
        line
        for line in below
        if not (comment and line.startswith(comment)) and not (no_rows and no_rows.fullmatch(line))
    ]
    rows = list(split(data, separator, quote, escape))
    trailing = bool(rows) and width > 2 and sum(len(row) == width and row[-1] == "" for row in rows) > 0.9 * len(rows)
    trailing = trailing and (not header or len(top) == width - 1 or not "".join(top[-1:]).strip())
    names = [name.strip().strip("\ufeff") for name in top] if header else [str(n + 1) for n in range(width)]
    if trailing:
        names = names[: width - 1]
        said.append("a separator ends every line")
    if head > first:
        said.append(f"the first {head} lines are no data")
    if not header:
        said.append("no header: columns are numbered from 1")
    if comment:
        said.append(f"lines that begin with {comment} are comments")
    said += [f"{footer_name(pattern)} are no rows" for pattern in footers]
    wanted = width - 1 if trailing else width
    rows = [row[:wanted] for row in rows if len(row) == width]
    return Dialect(separator, quote, escape, head, header, tuple(names), comment, tuple(footers), trailing, rows, said)


def find_comment(lines: Sequence[str]) -> str:
    """What comment lines begin with; "" if there are none."""
    for mark in _COMMENTS:
        marked = [line for line in lines if line.startswith(mark)]
        others = [line for line in lines if line.strip() and not line.startswith(mark)]
        if not marked or len(marked) > len(others):
            continue
        for separator in SEPARATORS:  # a row or header may begin with the mark, too
            widths = Counter(line.count(separator) for line in others)
            width = widths.most_common(1)[0][0]
            if width and any(line.count(separator) == width for line in marked):
                break
        else:
            return mark
    return ""


def _separator(lines: Sequence[str], escape: str) -> str:
    """The separator by which most lines have as many fields as the header."""
    best, score = ",", (0.0, 0, False, 0)
    for separator in SEPARATORS:
        candidates = [separator]
        if separator != "\t" and sum(f"{separator} " in line for line in lines) > 0.9 * len(lines):
            candidates.append(f"{separator} ")
        for candidate in candidates:
            if candidate.endswith(" ") and not any(f'{candidate}"' in line for line in lines):
                continue  # spaces around fields are stripped anyway; only a quote behind one matters
            rows = list(split(lines, candidate, '"', escape))
            width, often = Counter(len(row) for row in rows).most_common(1)[0] if rows else (1, 0)
            if width < 2:
                continue
            header = next((row for row in rows if len(row) == width), [])
            known = sum(_is_known(name) for name in header)
            share = often / len(rows)
            # cells may hold lists with separators of their own, but the header of such a log has none of these
            mark = (round(share, 1), min(known, 3), len(rows[0]) == width, width)
            if mark > score or (mark == score and candidate == f"{best} "):
                best, score = candidate, mark
    return best


def _is_known(name: str) -> bool:
    """Whether a name is made of words that columns of logs are called by."""
    words = re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name.strip()).lower())
    return 0 < len(words) <= 4 and len(name) < 60 and any(word in _WORDS or word in ("date", "time") for word in words)


def _quote(lines: Sequence[str], separator: str) -> str:
    """The quote around fields: double, unless most lines have fields in single ones."""
    single = re.compile(rf"(?:^|{re.escape(separator)})'[^']*'(?={re.escape(separator)}|$)")
    often = sum(len(single.findall(line)) > 1 for line in lines)
    return "'" if lines and often > 0.5 * len(lines) and not any('"' in line for line in lines) else '"'


def _escape(lines: Sequence[str]) -> str:
    r"""A backslash, if quotes stand behind one and never twice."""
    slashed = sum('\\"' in line for line in lines)
    return "\\" if slashed and not any('""' in line.replace('\\"', "") and ',""' not in line for line in lines) else ""


def _width(widths: Counter[int]) -> int:
    return widths.most_common(1)[0][0] if widths else 0


def find_head(rows: Sequence[Sequence[str]], first: int, width: int, *, narrow: bool) -> tuple[int, bool]:
    """Where the header stands, or without one the first row; and whether there is a header.

    Args:
        rows: fields of each line; none of lines that are no rows.
        first: where to begin.
        width: fields that most rows have.
        narrow: whether the header may have one field less, since a separator ends all lines but this one.
    """
    for place in range(first, len(rows)):
        row = rows[place]
        filled = [cell.strip() for cell in row if cell and cell.strip()]
        if len(row) != width and not (narrow and len(row) == width - 1):
            continue
        if len(filled) < max(2, len(row) / 2):
            continue
        return place, is_header(filled)
    return first, True


def is_header(cells: Sequence[str]) -> bool:
    """Whether a line names columns: its fields differ, and none is a number or a date.

    >>> is_header(["user", "item", "2nd"]), is_header(["ann", "tea", "2023-01-05"]), is_header(["1", "x"])
    (True, False, False)
    """
    lower = [cell.lower() for cell in cells]
    if len(set(lower)) < len(lower):
        return sum(map(_is_known, cells)) > 2
    return all(not (re.fullmatch(r"[-+]?\d[\d.,]*(?:[eE][-+]?\d+)?", cell) or notations_of([cell])) for cell in cells)


def find_footers(lines: Sequence[str], separator: str, header: str | None) -> list[str]:
    """Patterns of the lines that are no rows, the header among them if it is repeated."""
    odd = [*lines[:10], *(line for line in lines if separator[0] not in line), *lines[-100:]]
    total = TOTAL.format(separator=re.escape(separator))
    found = [
        pattern
        for pattern, among in (*((pattern, odd) for pattern in FOOTERS), (total, lines))
        if any(not _is_dated(line, separator) for line in filter(re.compile(pattern).fullmatch, among))
    ]
    if header is not None and header in lines:
        found.append(re.escape(header))
    return found


def _is_dated(line: str, separator: str) -> bool:
    """Whether a field is a date: then the line is a row, whatever it looks like."""
    return any({"iso", *_DATES} & set(notations_of([cell])) for cell in line.split(separator))


def footer_name(pattern: str) -> str:
    """What the lines of a pattern are, for people."""
    if pattern in FOOTERS:
        return f"lines with {FOOTERS[pattern]}"
    return "lines with totals" if "totals?" in pattern else "repetitions of the header"
