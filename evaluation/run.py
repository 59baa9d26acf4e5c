"""A whole evaluation: from log files to a table, a results file and a report, with progress on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evaluation.evaluate import evaluate
from evaluation.outcomes import Outcomes
from evaluation.protocol import cutoffs_of, day_text
from evaluation.purchases import read_purchases
from evaluation.report import write_report
from evaluation.results import Results
from evaluation.systems.registry import DEFAULT, systems_named
from evaluation.tables import markdown, on_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from evaluation.protocol import Protocol
    from producers.logs.readable import ReadableLog


def run(
    logs: Sequence[ReadableLog],
    protocol: Protocol,
    names: Sequence[str],
    directory: Path,
    *,
    against: str = DEFAULT,
    keep: bool,
) -> Results:
    """Evaluate systems and print the table.

    Args:
        logs: to evaluate on.
        protocol: the same for all systems.
        names: names, groups and patterns of systems; none: all systems.
        directory: for outcomes and, with `keep`, results.json, table.md and report.html.
        against: the system that the others are compared with.
        keep: whether the directory outlives the evaluation.

    Raises:
        EvaluationError, LogError: the evaluation is not possible as asked; the message says what is.
    """
    systems = systems_named(names, against)
    paths, formats = [log.path for log in logs], {log.path: log.log_format for log in logs}
    columns_shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns_shown, console=Console(stderr=True))
    with progress:
        reading = progress.add_task("reading the log", total=None)
        purchases = read_purchases(paths, formats)
        cutoffs = cutoffs_of(purchases, protocol)
        progress.remove_task(reading)
        outcomes = Outcomes(directory, protocol, [purchases.digest()])
        task = progress.add_task("", total=len(cutoffs) * len(systems))
        evaluate(
            purchases,
            paths,
            formats,
            protocol,
            cutoffs,
            systems,
            outcomes,
            on_start=lambda cutoff, name: progress.update(task, description=f"{day_text(cutoff)} {name}"),
            on_end=lambda: progress.advance(task),
        )
        progress.update(task, description="intervals")
        results = Results(protocol, cutoffs, {system.name: system.group for system in systems}, outcomes, against)
    Console().print(on_terminal(results))
    if keep:
        (directory / "results.json").write_text(results.json())
        (directory / "table.md").write_text(markdown(results))
        write_report(directory / "report.html", results)
        Console(stderr=True).print(f"results.json, table.md and report.html are in {directory}")
    return results
