"""The results of fault runs as a table, for people and for docs/reliability.md."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def counted(results: Iterable[dict[str, Any]]) -> int:
    """How many faults have happened."""
    return sum(result.get("happened", False) for result in results)


def table(results: Iterable[dict[str, Any]]) -> str:
    """A row for each kind: how many faults, of how many of them the round ended exact, and the seconds of a fault."""
    results = list(results)
    outcomes = {(each["seed"], each["world"], each["round"]): each["outcome"] for each in results if "outcome" in each}
    seconds = defaultdict(list)
    ends: dict[str, list[str]] = defaultdict(list)
    for each in results:
        if not each.get("happened"):
            continue
        seconds[each["kind"]].append(each["seconds"])
        ends[each["kind"]].append(outcomes.get((each["seed"], each["world"], each["round"]), "unfinished"))
    lines = ["| fault | times | exact after it | seconds, median |", "|---|---|---|---|"]
    for kind in sorted(ends):
        right = sum(end in ("exact", "refused") for end in ends[kind])
        lines.append(f"| {kind} | {len(ends[kind])} | {right} | {median(seconds[kind]):.1f} |")
    total = sum(map(len, ends.values()))
    right = sum(end in ("exact", "refused") for every in ends.values() for end in every)
    rounds = [each["seconds"] for each in results if each.get("outcome") == "exact" and "seconds" in each]
    lines.append(f"| **all** | **{total}** | **{right}** | |")
    return "\n".join(lines) + (f"\n\n{len(rounds)} rounds exact, {sum(rounds) / 60:.0f} minutes" if rounds else "")
