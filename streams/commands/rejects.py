"""What the replay says about rejected lines, and counting those that somebody has repaired."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from streams.commands.format_options import format_settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from state.memory import MemoryBudget
    from streams.engine.embedded import Embedded
    from streams.offline.retrying import Retried
    from streams.workers.kafka.topics import Topics

INTERRUPTED = 130


def tell_reasons(reasons: Mapping[str, int], where: str) -> None:
    """Say why lines were rejected, worst first, and how they can be counted after all.

    Args:
        reasons: lines by kind of reason.
        where: the rejects file, and the options that say where its lines are counted or sent.
    """
    from streams.offline.reject_reasons import reasons_text

    click.echo("\n".join(reasons_text(reasons)))
    click.echo(f"repair each record there, and take them: alsobought replay --retry-rejects {where}")


def retry_into(
    state_dir: Path,
    path: Path,
    options: dict[str, Any],
    commit_lines: int,
    left: Path,
    memory: MemoryBudget | None,
    asked: list[bool],
) -> None:
    """Count the repaired lines of a rejects file into a state; stop once `asked` holds something."""
    from dataclasses import replace

    from state.errors import StateError
    from state.memory import Memory
    from state.settings import RULES
    from streams.engine.embedded import Embedded, settings_of
    from streams.offline.retrying import retry

    settings = _settings_of_fields(options)
    stored = settings_of(state_dir)
    if stored is None:
        raise StateError(f"{state_dir} holds no state; name the --state-dir that the logs were counted into")
    embedded = Embedded(
        state_dir,
        replace(stored, rules=RULES),
        memory=Memory(memory),
    )
    try:
        done = retry(embedded, path, settings, commit_lines=commit_lines, left=left, stop=lambda: bool(asked))
        _tell(done, path, left, "counted or duplicate")
        if done.lines and not asked:
            _publish(embedded, asked)
    finally:
        embedded.close()
    _exit_if(asked)


def retry_onto(
    broker: str,
    topics: Topics,
    path: Path,
    options: dict[str, Any],
    events: dict[str, Any],
    left: Path,
    asked: list[bool],
) -> None:
    """Send the repaired lines of a rejects file to the topic of the orders; stop once `asked` holds something."""
    from functools import partial

    from producers.log_format import LogFormat
    from producers.publish import Publisher, send_repaired
    from producers.resending import sent_before
    from streams.commands.expected_errors import errors_as_messages
    from streams.offline.retrying import resend

    settings = _settings_of_fields(options)
    copy = replace(topics, rekey=True).log
    with errors_as_messages(), Publisher(broker, topics.purchases) as publisher:
        ids, logs = sent_before(broker, topics.purchases, copy)
        send = partial(send_repaired, publisher, LogFormat.from_settings(events))
        done = resend(
            path,
            settings,
            send,
            publisher.flush,
            events=events,
            ids=ids,
            logs=logs,
            left=left,
            stop=lambda: bool(asked),
        )
    _tell(done, path, left, "sent")
    _exit_if(asked)


def _exit_if(asked: list[bool]) -> None:
    if asked:
        click.echo("stopped; the same command goes on from there")
        sys.exit(INTERRUPTED)


def _settings_of_fields(options: dict[str, Any]) -> dict[str, Any]:
    """What the options say about fields."""
    settings, profile = format_settings(options)
    if profile is not None:
        raise click.UsageError("--profile says how a file is read; --retry-rejects knows that of each line")
    return settings


def _tell(done: Retried, path: Path, left: Path, what: str) -> None:
    for number, reason in sorted(done.skipped):
        click.echo(f"{path} line {number}: {reason}: skipped", err=True)
    click.echo(f"{done.lines:,} repaired lines {what}, {len(done.skipped):,} skipped")
    if done.left:
        click.echo(f"{done.left:,} are still wrong, written to {left} with the reason")


def _publish(embedded: Embedded, asked: list[bool]) -> None:
    for _ in embedded.publish():
        if asked:
            return
