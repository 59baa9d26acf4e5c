"""Words that the glossary retired: names of the code, and phrases of its text, that meant what another word says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.sources import parsed

ROOT = Path(__file__).parent.parent
PACKAGES = ("producers", "state", "streams", "evaluation", "benchmarks")
PROSE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/**/*.md", "streams/endpoint/page/**/*.js")

RETIRED_NAMES = {
    "Told": "PublishedDigests",
    "told": "delivered_offset, published",
    "Standing": "Membership",
    "Deliveries": "OutboxSender",
    "Outgoing": "OutgoingRecord",
    "Allowance": "RateLimit",
    "SHARES": "SHARDS",
    "refresh_share": "refresh_time_fraction",
    "owed_s": "list_time_credit_s",
    "NotHere": "PartitionNotLocal",
    "PeerAway": "PeerUnavailable",
    "Peers": "PeerClient",
    "Ownership": "PartitionOwners",
    "Wishes": "RecommendationRequest",
    "wishes": "request",
    "Attendant": "AnswersRefresher",
    "Shelf": "LiveAssortment",
    "Stocktaking": "AssortmentSnapshot",
    "take_stock": "take_snapshot",
    "Asked": "RequestContext",
    "Listed": "RelatedListAnswer",
    "PartView": "ItemPartitionView",
    "Place": "StagePartition",
    "places_of": "row_keys_of",
    "items_at": "items_of",
    "slice_at": "slice_of_row_keys",
    "wanted_1": "an array with a component axis",
    "read_to": "<topic>_offset",
    "Watch": "ProgressDisplay",
    "Stretch": "Chunk",
    "Shop": "Worker",
    "settle": "flush",
}
"""Name that nothing in the code may have -> what it is called now."""

RETIRED_PHRASES = {
    r"take note of": "record",
    r"records? that (?:is|are) none": "invalid records",
    r"shut(?:s|ting)? [^.\n]{0,30}\bout\b": "fence",
    r"divided anew|shared out anew": "rebalanced",
    r"\banew\b": "again",
    r"\bof late\b": "recently",
    r"\blet(?:s|ting)? go of\b": "close, release",
    r"\bfore(?:told|tells?)\b": "predicted, hit",
    r"of the design\b|the design's|DESIGN\.md": "docs/definition.md",
}
"""Phrase that no text of ours may have -> the field's words."""


def names_of(path: Path) -> set[str]:
    """Every name that a file uses: of functions, classes, arguments, variables and attributes."""
    found = set()
    for node in ast.walk(parsed(path)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                found.add(name)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_name_is_retired(package: str) -> None:
    """One word for one thing: whoever finds two looks for a difference that is not there."""
    found = {
        f"{path.relative_to(ROOT)}: {name}, now {RETIRED_NAMES[name]}"
        for path in (ROOT / package).rglob("*.py")
        for name in names_of(path) & RETIRED_NAMES.keys()
    }

    assert found == set()


def test_no_phrase_is_retired() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    paths += [path for pattern in PROSE for path in ROOT.glob(pattern)]
    found = {
        f"{path.relative_to(ROOT)}: {match[0]!r}, now {instead}"
        for path in paths
        for phrase, instead in RETIRED_PHRASES.items()
        for match in re.finditer(phrase, " ".join(path.read_text().split()), re.IGNORECASE)
    }

    assert found == set()
