"""docs/security.md cites tests that exist, and lists every socket, topic and route that a worker reads."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from streams.workers.cluster.peers import INTERNAL
from streams.workers.kafka.topics import Topics
from tests.sources import parsed

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
CITED = sorted(set(re.findall(r"`(tests/\w+\.py(?:::\w+)?)`", PAGE)))
ROWS = [line for line in PAGE.split("## What a worker reads")[1].split("## ")[0].splitlines() if line.startswith("| ")]


def names_in(path: Path) -> set[str]:
    """Names of the tests in a file."""
    return {
        node.name
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("cited", CITED)
def test_a_cited_test_exists(cited: str) -> None:
    """A bound whose test was renamed or removed is a bound that nobody looks after."""
    path, _, name = cited.partition("::")

    assert (ROOT / path).is_file()
    assert not name or name in names_in(ROOT / path)


def test_every_row_names_a_test() -> None:
    rows = [row for row in ROWS if not row.startswith(("| what ", "|---"))]

    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`tests/\w+\.py", row)] == []


def test_every_topic_and_route_of_workers_is_listed() -> None:
    """Lists that stay in Kafka are read as well, to compare with what would be published."""
    for topic in (Topics().purchases, Topics(rekey=True).log, "co-purchases", "related-items", Topics().items):
        assert f"`{topic}`" in PAGE, topic
    for route in ("/search", "/events", "/snapshot", INTERNAL):
        assert f"`{route}`" in PAGE, route


def test_it_is_found() -> None:
    """From the first pages that a reader opens."""
    for page in ("README.md", "SECURITY.md", "docs/admin.md"):
        text = (ROOT / page).read_text()
        assert re.search(r"\]\((?:docs/)?security\.md", text), page
