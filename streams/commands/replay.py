"""The command that counts logs, or sends them to Kafka."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producers.errors import LogError
from state.settings import ORDER, PAIR_KINDS
from streams.commands.broker_options import broker_options, broker_words
from streams.commands.event_options import check_events, event_options
from streams.commands.format_options import format_options, format_settings
from streams.commands.located import FetchDisplay, brought
from streams.commands.memory_option import memory_option
from streams.commands.prepare import compile_first
from streams.commands.rejects import retry_into, retry_onto, tell_reasons
from streams.commands.topic_options import topic_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from producers.publish import Published
    from state.memory import MemoryBudget
    from state.settings import CountingSettings
    from streams.commands.event_options import SeedWeights
    from streams.offline.known_logs import Planned
    from streams.offline.replay import Progress
    from streams.workers.kafka.topics import Topics

INTERRUPTED = 130


@contextmanager
def _interruptible() -> Iterator[list[bool]]:
    """While it lasts, Ctrl-C or SIGTERM asks instead of killing: the list is no longer empty once it did."""
    asked: list[bool] = []
    before = {name: signal.signal(name, lambda *_: asked.append(True)) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@click.command()
@click.argument("logs", nargs=-1, metavar="LOG...")
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Directory to count into.")
@broker_options("Send the orders to the topic purchases of this broker instead.", required=False)
@click.option(
    "--retry-rejects",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Instead of logs: count or send the lines of a rejects file whose record was repaired, each once.",
)
@format_options
@click.option(
    "--pair-window",
    type=click.IntRange(0),
    help="Pair items of a customer at most this many first purchases apart, or of an order this many lines; 0: "
    "always.  [default: 100]",
)
@click.option(
    "--pairs",
    type=click.Choice(PAIR_KINDS),
    help="Count the customers who hold two items, or the orders that do, repeats included.  [default: customer]",
)
@click.option(
    "--item-partitions", type=click.IntRange(1, 1024), help="Divide the items' counts among this many stores."
)
@event_options(stored=True)
@click.option("--rejects", type=click.Path(dir_okay=False, path_type=Path), help="File for rejected lines.")
@memory_option
@click.option("--commit-lines", default=5000, type=click.IntRange(1), help="Order lines per commit.")
@click.option(
    "--prequential",
    is_flag=True,
    help="Score a sample of the orders before they are counted: would recommendations have contained what they bring?",
)
@click.option(
    "--score-one-in",
    default=32,
    type=click.IntRange(1),
    help="With --prequential: score one in so many of the orders in the windows; 1 costs most and tells most.",
)
@click.option(
    "--score-seeds",
    default=20,
    type=click.IntRange(1, 100),
    help="With --prequential: ask the lists of so many of the newest items held; visitors are served from 100.",
)
@click.option(
    "--erasures",
    type=click.Path(dir_okay=False, path_type=Path),
    help="List of erasures made in another state, as `alsobought erasures` writes it: leave those customers out.",
)
@click.option("--another-log", is_flag=True, help="A file that is not what was counted at its path is another log.")
@click.option("--speed", default="max", metavar="max|N", help="With --broker: N times as fast as it happened.")
@topic_options()
def replay(
    logs: tuple[str, ...],
    state_dir: Path | None,
    broker: str | None,
    retry_rejects: Path | None,
    pair_window: int | None,
    pairs: str | None,
    item_partitions: int | None,
    events: str | None,
    seed_weights: SeedWeights | None,
    rejects: Path | None,
    memory: MemoryBudget | None,
    commit_lines: int,
    prequential: bool,
    score_one_in: int,
    score_seeds: int,
    another_log: bool,
    erasures: Path | None,
    speed: str,
    topics: Topics,
    **options: Any,  # noqa: ANN401 - those of `format_options`
) -> None:
    """Count purchase logs into a state directory, or send them to Kafka, from where each stands.

    LOG is a file of any kind that `alsobought inspect` knows, a directory of such files, a pattern in quotes, - for
    standard input, or an address: https, s3, gs, abfs. It needs the columns customer_id, item_id and timestamp, and may
    have quantity, order_id and type (purchase or return). Adjacent lines of one order_id are one order.

    Lines that can't be counted go to the rejects file, with the reason. Ctrl-C commits and stops; the same command goes
    on later, and a log that has grown is taken up where it ended.

    --prequential also tells how often one of the six items recommended was among the new ones that an order brought,
    and one of the six bestsellers; `alsobought quality` tells it again. It takes a tenth of the time, for a rough
    figure; --score-one-in 1 --score-seeds 100 takes longer, for one that is neither noisy nor too low.

    \b
      alsobought replay orders.csv --state-dir shop
      alsobought replay january.parquet february.parquet --state-dir shop \\
          --columns customer_id=household_id,item_id=product_id,timestamp=transaction_timestamp
      alsobought replay 'orders/year=2023/*.parquet' --state-dir shop
      zcat orders.csv.gz | alsobought replay - --state-dir shop
      alsobought replay orders.csv --broker 127.0.0.1:9092 --speed 60
    """
    from state.settings import PURCHASES, CountingSettings
    from streams.engine.embedded import settings_of
    from streams.engine.events import events_read

    if (state_dir is None) == (broker is None):
        raise click.UsageError("name --state-dir, to count here, or --broker, to send to Kafka: one of the two")
    if (retry_rejects is None) == (not logs):
        raise click.UsageError("name the logs to read, or a file of lines to --retry-rejects: one of the two")
    if broker is not None:
        chosen = CountingSettings(events=events or PURCHASES, seed_weights=seed_weights or ())
        check_events(chosen.events, chosen.seed_weights)
        read = events_read(chosen)
        if retry_rejects is not None:
            with _interruptible() as asked:
                retry_onto(broker, topics, retry_rejects, options, read, rejects or _left_of(retry_rejects), asked)
            return
        if prequential:
            raise click.UsageError("--prequential needs --state-dir: a worker scores what it counts by itself")
        _send(logs, broker, options, read, rejects or Path("rejected.jsonl"), speed, topics)
        return
    assert state_dir is not None
    stored = settings_of(state_dir) or CountingSettings()
    settings = CountingSettings(
        stored.pair_window if pair_window is None else pair_window,
        stored.item_partitions if item_partitions is None else item_partitions,
        pairs=pairs or stored.pairs,
        events=events or stored.events,
        seed_weights=stored.seed_weights if seed_weights is None else seed_weights,
    )
    check_events(settings.events, settings.seed_weights)
    if retry_rejects is not None:
        with _interruptible() as asked:
            retry_into(
                state_dir, retry_rejects, options, commit_lines, rejects or _left_of(retry_rejects), memory, asked
            )
        return
    with _interruptible() as asked:  # opening a large state takes a while too
        sample = (score_one_in, score_seeds) if prequential else None
        rejects = rejects or state_dir / "rejected.jsonl"
        _count(logs, state_dir, settings, options, rejects, memory, commit_lines, sample, asked, another_log, erasures)


def _left_of(rejects: Path) -> Path:
    """Where lines of a rejects file are kept that are still wrong, unless the user says so."""
    return rejects.with_name(f"{rejects.stem}.left{rejects.suffix}")


def _send(
    logs: tuple[str, ...],
    broker: str,
    options: dict[str, Any],
    events: dict[str, Any],
    rejects: Path,
    speed: str,
    topics: Topics,
) -> None:
    """Send logs to Kafka."""
    from producers.logs.readable import readable_logs
    from streams.commands.kafka import replay_to_kafka
    from streams.offline.reject_reasons import kind_of_reason
    from streams.offline.rejects import RejectsFile, rejects_of
    from streams.progress import ProgressDisplay

    given, profile = format_settings(options)
    given |= events
    if given.get("order") == "sort":
        raise LogError("--sort needs --state-dir: what is on a topic already cannot be put in order")
    with brought(logs) as (files, scratch):
        found = readable_logs(files, given, profile, scratch)  # all, before the first is sent
        for log in found:
            for text in log.notes:
                click.echo(f"{log.file.shown}: {text}", err=True)

        sources = {log.path: log for log in found}
        reasons: Counter[str] = Counter()
        with _interruptible() as asked, ProgressDisplay("send", "orders") as display:

            def show(sent: Published) -> None:
                display.update(sent.fraction, sent.orders)
                reasons.update(kind_of_reason(rejection.reason) for rejection in sent.rejected)
                source = sources[sent.path]
                placed = [("", rejection) for rejection in sent.rejected]
                RejectsFile(rejects).append(rejects_of(source.file.shown, sent.log, source.log_format, placed))

            sent = replay_to_kafka(broker, found, topics, speed=speed, on_progress=show, stop=lambda: bool(asked))
    if sent is None:
        click.echo("nothing new: the logs were sent before")
    else:
        click.echo(f"{sent.orders:,} orders sent, {sent.lines:,} lines")
        if reasons:
            click.echo(f"{reasons.total():,} lines rejected, written to {rejects}")
            where = [*broker_words(broker), *topics.options]
            tell_reasons(reasons, f"{rejects} {' '.join(where)}")
    if asked:
        click.echo("stopped; the same command goes on from there")
        sys.exit(INTERRUPTED)


def _count(
    logs: tuple[str, ...],
    state_dir: Path,
    settings: CountingSettings,
    options: dict[str, Any],
    rejects: Path,
    memory: MemoryBudget | None,
    commit_lines: int,
    sample: tuple[int, int] | None,
    asked: list[bool],
    another: bool,
    erasures: Path | None,
) -> None:
    """Count logs into a state directory and bring its lists up to date; stop once `asked` holds something."""
    from state.memory import Memory
    from streams.engine.embedded import Embedded
    from streams.offline.replay import replay as run
    from streams.progress import ProgressDisplay
    from streams.quality.offers import offers
    from streams.quality.prequential import Prequential
    from streams.quality.rates import quality_lines

    compile_first()
    embedded = Embedded(state_dir, settings, memory=Memory(memory))
    prequential = None
    if sample is not None:
        one_in, seeds = sample
        prequential = Prequential(partial(offers, embedded.counts, seeds=seeds), settings.pair_window, one_in)
    try:
        with FetchDisplay() as fetching, ProgressDisplay("replay", "lines") as display:
            given, profile = format_settings(options)
            totals = run(
                embedded,
                logs,
                given,
                commit_lines=commit_lines,
                rejects=rejects,
                profile=profile,
                another=another,
                erasures=erasures,
                on_fetch=fetching.show,
                on_plan=partial(_show_plan, settings.pairs),
                on_commit=lambda progress: display.update(
                    (progress.done + progress.together * progress.fraction) / progress.files, progress.lines
                ),
                stop=lambda: bool(asked),
                prequential=prequential,
            )
        _tell_replay(totals, embedded.counts[0].lines, rejects, state_dir, interrupted=bool(asked))
        if prequential is not None:
            click.echo("\n".join(quality_lines(embedded.histories.hit_counts)))
        if asked:
            sys.exit(INTERRUPTED)
        with ProgressDisplay("related lists", "lists") as display:
            done = 0
            for written in embedded.publish():
                done += written
                display.update(min(1.0, done / max(len(embedded.counts[0].names), 1)), done)
                if asked:
                    break
        if done:
            click.echo(f"{done:,} related lists written")
        if asked:
            click.echo("stopped before every list was written; the same command writes them again")
            sys.exit(INTERRUPTED)
    finally:
        embedded.close()


def _show_plan(pairs: str, planned: Planned) -> None:
    """Say in one line what was assumed of a file."""
    if pairs == ORDER and not planned.order_ids:
        click.echo(
            f"note: {planned.shown} has no order ids, so each of its records is an order of its own: name their column "
            "(--columns order_id=...), or count pairs of customers",
            err=True,
        )
    if planned.assumed:
        click.echo(f"{planned.shown}: {'; '.join(planned.assumed)}", err=True)
    for warning in planned.warnings:
        click.echo(f"note: {warning}", err=True)


def _tell_replay(progress: Progress, lines: int, rejects: Path, state_dir: Path, *, interrupted: bool) -> None:
    if progress.utc_assumed:
        click.echo("timestamps without zone were taken for UTC; --timezone names another", err=True)
    for path in progress.unfinished:
        click.echo(
            f"{path}: the last line has no line end and is not counted yet; --count-last-line counts it", err=True
        )
    if progress.lines == 0 and not interrupted:
        click.echo(f"nothing new: {state_dir} already stands at the end, {lines:,} lines")
        _tell_skipped(progress)
        return
    counted = progress.lines - progress.rejected
    rate = progress.lines / max(sum(progress.commits_ms) / 1000, 1e-9)
    click.echo(f"{progress.lines:,} lines read, {counted:,} counted or duplicate, at {rate:,.0f} lines/s")
    _tell_skipped(progress)
    if progress.erased:
        click.echo(f"{progress.erased:,} lines of erased customers left out")
    if progress.fractions:
        click.echo(f"{progress.fractions:,} quantities were fractions, each counted as one piece")
    if progress.rejected:
        click.echo(f"{progress.rejected:,} of {progress.lines:,} lines rejected, written to {rejects}")
        tell_reasons(progress.reasons, f"{rejects} --state-dir {state_dir}")
    for customer, share in progress.busy:
        click.echo(
            f"note: customer '{customer}' has {share:.0%} of the lines, which binds all items together; "
            f"if these are guests, count into a new state with --missing {customer}",
            err=True,
        )
    if interrupted:
        click.echo(f"stopped at line {lines:,}, committed; the same command goes on from there")


def _tell_skipped(progress: Progress) -> None:
    if progress.types:
        counts = ", ".join(f"{count:,} {name}" for name, count in progress.types.most_common())
        click.echo(f"{progress.types.total():,} lines skipped, of types that are not counted here: {counts}")
    if progress.excluded:
        click.echo(f"{progress.excluded:,} lines skipped, of items left out")
