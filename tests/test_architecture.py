"""What the documentation cites exists: every file, every link, every name of the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.reference import commands
from tests.sources import parsed

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.name != "LICENSE.md"
)
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
DECISION_002 = (ROOT / "docs" / "decisions" / "002-journal-of-slices.md").read_text()
CODE = ("producers", "state", "streams", "evaluation", "benchmarks", "tests")
SUFFIXES = (".py", ".md", ".json", ".toml", ".yml", ".yaml", ".html", ".js", ".css", ".lua", ".xml", ".lock", ".png")
ROUTES = {"/health/ready", "/health/live", "/status", "/partitions", "/quality", "/metrics", "/internal/"}
OUTSIDE = {"purchases", "co-purchases", "related-items", "items", "purchases-rejected", "alsobought-tally.live"}
"""Topics and groups, which are made when a worker runs."""
MOST_FILES = 3


class Module(NamedTuple):
    """What a module defines."""

    names: set[str]
    members: dict[str, set[str]]
    """Class -> its methods, fields and attributes."""
    bases: dict[str, list[str]]


@cache
def modules() -> dict[str, Module]:
    """Every module of ours by dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): _defined(path)
        for package in CODE
        for path in (ROOT / package).rglob("*.py")
    }


def _defined(path: Path) -> Module:
    names: set[str] = set()
    members: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for node in parsed(path).body:
        names |= _bound(node)
        if isinstance(node, ast.ClassDef):
            bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            assigned = {
                inner.attr
                for inner in ast.walk(node)
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store)
            }
            members[node.name] = assigned.union(*map(_bound, node.body))
    return Module(names, members, bases)


def _bound(node: ast.AST) -> set[str]:
    """Names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def has_member(owner: str, member: str) -> bool:
    """Whether a class of ours, or one that it inherits from, has a member."""
    found = [module for module in modules().values() if owner in module.members]
    return any(
        member in module.members[owner] or any(has_member(base, member) for base in module.bases[owner])
        for module in found
    )


def defines(module: Module, name: str) -> bool:
    """Whether a module defines a name, `Class.member` or the member of a class."""
    owner, _, member = name.partition(".")
    if member:
        return owner in module.members and has_member(owner, member)
    return name in module.names or any(name in members for members in module.members.values())


def is_file(text: str) -> bool:
    """Whether a citation is of a file or directory in the repository."""
    return re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)*/?", text) is not None and ("/" in text or text.endswith(SUFFIXES))


def resolves(text: str) -> bool:
    """Whether a cited name is one of ours: dotted from a package, of a module by its stem, or of a class.

    >>> resolves("streams.engine.ranking.rank"), resolves("streams.engine.ranking.no_such"), resolves("Router.ask")
    (True, False, True)
    """
    if text in modules() or any(module.startswith(f"{text}.") for module in modules()):
        return True
    holder, _, name = text.rpartition(".")
    if holder in modules():
        return name in modules()[holder].names
    if "." in text and holder[0].isupper():
        return has_member(holder, name)
    if "." in text:
        stems = [found for module, found in modules().items() if module.rpartition(".")[2] == holder]
        return any(name in found.names for found in stems)
    return any(defines(module, text) for module in modules().values())


def cited(text: str) -> list[str]:
    """What stands in backticks, outside of fenced blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_and_dotted_name_that_is_cited_exists(page: Path) -> None:
    """A page that sends its reader to what is not there is worse than none."""
    missing = []
    for text in cited((ROOT / page).read_text()):
        first = text.split("/")[0]
        if "/" in text and is_file(text) and first in {*CODE, "docs", ".ci"}:
            missing += [text] * (not (ROOT / text).exists())
        elif re.fullmatch(rf"({'|'.join(CODE)})(\.\w+)+", text) or re.fullmatch(r"[A-Z][a-z]\w+\.[a-z_]\w+", text):
            missing += [text] * (not resolves(text))

    assert missing == []


def test_every_name_in_the_architecture_exists() -> None:
    """On this page nothing stands in backticks that is not in the code, an option, a route or a topic."""
    options = (ROOT / "docs" / "commands.md").read_text()
    unknown = []
    for text in cited(ARCHITECTURE):
        known = (
            text in OUTSIDE | ROUTES
            or (is_file(text) and (ROOT / text).exists())
            or (text.startswith("--") and text in options)
            or text.startswith(("python -m ", "py-spy "))
            or text in {" ".join(command) for command in commands()}
            or (re.fullmatch(r"[\w.]+", text) and resolves(text))
        )
        unknown += [text] * (not known)

    assert unknown == []


def answers() -> list[tuple[str, str]]:
    """Each question of the page, and its answer."""
    section = ARCHITECTURE.split("## Questions a stranger asks")[1].split("\n## ")[0]
    return [
        (question.strip(), answer)
        for question, answer in re.findall(r"^\| ([^|]+\?) \| (.+) \|$", section, re.MULTILINE)
    ]


def test_the_page_answers_seven_questions() -> None:
    assert len(answers()) == 7


@pytest.mark.parametrize(("question", "answer"), answers(), ids=[question for question, _ in answers()])
def test_an_answer_names_at_most_three_files_and_what_they_define(question: str, answer: str) -> None:
    files = [text for text in cited(answer) if is_file(text)]
    code = [_defined(ROOT / file) for file in files if file.endswith(".py")]
    names = [text for text in cited(answer) if text not in files and text not in OUTSIDE]

    assert 1 <= len(set(files)) <= MOST_FILES, question
    assert names
    assert [name for name in names if not any(defines(module, name) for module in code)] == []


def test_the_glossary_is_in_alphabetical_order() -> None:
    words = re.findall(r"^- \*\*(.+?)\*\*", ARCHITECTURE.split("## Glossary")[1], re.MULTILINE)

    assert words == sorted(words, key=str.lower)
    assert len(words) == len(set(words)) > 40


def test_the_table_of_rooms_has_every_package_of_streams() -> None:
    rooms = {path.parent.relative_to(ROOT) for path in (ROOT / "streams").rglob("*.py")} - {Path("streams")}

    assert [room for room in sorted(rooms) if f"`{room}/`" not in ARCHITECTURE] == []


def test_decision_002_names_every_file_that_knows_slices() -> None:
    """Whoever wants to undo it must find them all."""
    knowing = set()
    for package in CODE[:-2]:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            if re.search(r"\b(SLICES|EXPOSURES|slice_rows|slice_of)\b", text):
                knowing.add(str(path.relative_to(ROOT)))

    assert [file for file in sorted(knowing) if f"`{file}`" not in DECISION_002] == []
