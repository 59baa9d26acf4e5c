"""The commands that need Kafka: topics, worker, rejected, snapshot; and the replay to a topic."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producers.partitioning import PARTITIONERS
from producers.publish import Pace, publish_logs
from state.directory import StateDirectory
from state.errors import SnapshotFailed, StateError, StateLocked
from state.memory import parse_bytes, shown
from state.settings import CUSTOMER, PAIR_KINDS
from state.snapshots import snapshot_directory
from streams.commands.broker_options import broker_options
from streams.commands.event_options import check_events, event_options
from streams.commands.expected_errors import errors_as_messages
from streams.commands.imports import import_
from streams.commands.memory_option import memory_option
from streams.commands.serving_options import (
    admin_option,
    admin_token_option,
    advertise_option,
    allow_host_option,
    cors_origin_option,
    read_token_option,
    worker_secret_option,
)
from streams.commands.snapshot_options import check_snapshots, snapshot_options
from streams.commands.topic_options import generation_option, topic_options
from streams.engine.scores import DEFAULT_SCORE, SCORES
from streams.workers.kafka.topics import (
    LEAST_RECORD_BYTES,
    MOST_RECORD_BYTES,
    RECORD_BYTES,
    Partitions,
    Topics,
    create_topics,
)
from streams.workers.settings import STAGES, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producers.logs.readable import ReadableLog
    from producers.publish import Published

_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - addresses to listen at, but not to connect to
_ENVIRONMENT = {"auto_envvar_prefix": "ALSOBOUGHT", "show_default": True}

_broker = broker_options("The Kafka broker.", required=True)
_timeout = click.option("--broker-timeout", default=30.0, metavar="SECONDS", help="How long to wait for a broker.")
_state_dir = click.option(
    "--state-dir", required=True, type=click.Path(file_okay=False, path_type=Path), help="Directory of the state."
)


def _configs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for each in values:
        key, equals, value = (part.strip() for part in each.partition("="))
        if not (key and equals):
            raise click.BadParameter(f"'{each}' is not KEY=VALUE, such as min.insync.replicas=2")
        found[key] = value
    return found


def _record_bytes(_: click.Context, __: click.Parameter, value: str) -> int:
    try:
        size = parse_bytes(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if not LEAST_RECORD_BYTES <= size <= MOST_RECORD_BYTES:
        raise click.BadParameter(
            f"'{value}' is not from {shown(LEAST_RECORD_BYTES)} to {shown(MOST_RECORD_BYTES)}, as brokers take them"
        )
    return size


@click.command(context_settings=_ENVIRONMENT)
@_broker
@click.option("--partitions", default=4, help="Partitions of purchases: the greatest number of workers for stage A.")
@click.option("--item-partitions", type=int, help="Partitions of the items, for stage B.  [default: --partitions]")
@click.option(
    "--replication-factor",
    "--replication",
    "replication",
    envvar=["ALSOBOUGHT_REPLICATION_FACTOR", "ALSOBOUGHT_REPLICATION"],
    default=1,
    help="Copies of each partition; 3 on a cluster.",
)
@click.option(
    "--topic-config",
    metavar="KEY=VALUE",
    multiple=True,
    callback=_configs,
    help="Configuration of topics that are created, such as min.insync.replicas=2; may be repeated.",
)
@topic_options(generation=True, rekey=True)
@_timeout
def topics(
    broker: str,
    partitions: int,
    item_partitions: int | None,
    replication: int,
    topic_config: dict[str, str],
    topics: Topics,
    broker_timeout: float,
) -> None:
    """Create the topics that are missing, and check the configuration of the others."""
    counts = Partitions(partitions, item_partitions or partitions)
    with errors_as_messages():
        created = create_topics(
            broker,
            topics,
            counts,
            replication=replication,
            more_configs=topic_config,
            timeout_s=broker_timeout,
        )
    for name in topics.configs():
        click.echo(f"{name}: {'created' if name in created else 'exists, configured as required'}")


@click.command(context_settings=_ENVIRONMENT)
@_broker
@_state_dir
@click.option("--stages", default=",".join(STAGES), help="Which stages run here: ingest, tally, or both.")
@click.option(
    "--partitioner",
    default="auto",
    type=click.Choice(["auto", *PARTITIONERS, "none"]),
    help="How your producers place customers: murmur2 as Kafka's Java client, crc32 as librdkafka, none: do not check. "
    "Orders in another partition are rejected.",
)
@click.option(
    "--pair-window",
    default=100,
    help="Pair items at most this many first purchases apart, or of an order this many lines; 0: always.",
)
@click.option(
    "--pairs",
    default=CUSTOMER,
    type=click.Choice(PAIR_KINDS),
    help="Count the customers who hold two items, or the orders that do; the same for all workers.",
)
@event_options(stored=False)
@admin_option
@advertise_option
@allow_host_option
@cors_origin_option
@admin_token_option
@read_token_option
@worker_secret_option
@memory_option
@snapshot_options
@click.option("--commit-interval-ms", default=100, help="Longest time that orders wait to be committed with others.")
@click.option("--commit-lines", default=5_000, help="Order lines after which a commit does not wait for more.")
@click.option(
    "--record-bytes",
    default=shown(RECORD_BYTES),
    metavar="SIZE",
    callback=_record_bytes,
    help="Largest record of deltas; what is larger is written in parts. No topic must be set to take less.",
)
@click.option(
    "--score",
    default=DEFAULT_SCORE,
    type=click.Choice(list(SCORES)),
    help="What to rank related lists by, the same for all workers. After a change every list is published again.",
)
@click.option(
    "--list-change",
    default=0.05,
    type=click.FloatRange(0),
    help="Under load, publish a list again when one of its scores changed by more than this fraction.",
)
@click.option(
    "--lists-per-second",
    type=click.FloatRange(0, min_open=True),
    help="Publish at most this many lists a second while orders arrive.  [default: no limit]",
)
@click.option(
    "--refresh-time-fraction",
    default=0.1,
    type=click.FloatRange(0),
    help="Far behind, time spent on lists as a fraction of the time spent on counting.",
)
@click.option(
    "--score-one-in",
    default=0,
    type=click.IntRange(0),
    help="Score one order in N before it is counted, at most two per commit: see /quality.  [default: none]",
    show_default=False,
)
@click.option("--idle-ms", default=2_000, help="After this long without orders, publish until every list is exact.")
@click.option(
    "--fencing/--no-fencing",
    default=True,
    help="Without fencing: for one worker only, and brokers without transactions.",
)
@click.option(
    "--standby",
    is_flag=True,
    help="Keep the partitions of other workers up to date here as well, so that taking them over costs no recount.",
)
@click.option("--session-timeout-ms", default=6_000, help="A worker that is silent for this long loses its partitions.")
@_timeout
@topic_options(generation=True, rekey=True)
@click.option("--log-json", is_flag=True, help="Log in JSON.")
def worker(
    broker: str,
    state_dir: Path,
    topics: Topics,
    stages: str,
    broker_timeout: float,
    log_json: bool,
    **rest: Any,  # noqa: ANN401 - options that are settings of the same name
) -> None:
    """Run a worker: count purchases from Kafka, and publish related lists as they change.

    Start up to one worker per partition, each with its own --state-dir. On SIGTERM a worker finishes what is in flight
    and exits with code 0; after a failure it exits with another code, and can be restarted.
    """
    from streams.workers.kafka.copies import PARTITIONER
    from streams.workers.kafka.placement import AUTO
    from streams.workers.worker import run_worker
    from streams.workers.worker_logs import set_up_logs

    chosen = tuple(stage for stage in STAGES if stage in stages.split(","))
    if not chosen or set(stages.split(",")) - set(STAGES):
        raise click.UsageError(f"--stages is '{stages}', not {', '.join(STAGES)} or one of them")
    if topics.rekey and rest["partitioner"] not in (AUTO, PARTITIONER):
        raise click.UsageError(f"--rekey places customers by {PARTITIONER}: leave out --partitioner")
    if topics.rekey and not rest["fencing"]:
        raise click.UsageError(
            "--rekey needs transactions: without them a worker that dies may copy orders twice. Leave out --no-fencing"
        )
    if rest["standby"] and not rest["fencing"]:
        raise click.UsageError("--standby follows other workers, of which there are none with --no-fencing")
    check_events(rest["events"], rest["seed_weights"])
    check_snapshots(topics.generation, **rest)
    set_up_logs(as_json=log_json)
    with errors_as_messages():
        settings = WorkerSettings(broker, state_dir, topics, chosen, broker_timeout_s=broker_timeout)
        settings = replace(settings, **rest)
        if settings.advertise is None and settings.admin_address[0] in _ANYWHERE:
            settings = replace(settings, advertise=f"{socket.gethostname()}:{settings.admin_address[1]}")
        run_worker(settings)


@click.command(context_settings=_ENVIRONMENT)
@_broker
@click.option("--replay", is_flag=True, help="Send them to the topic purchases again, each once.")
@topic_options()
@_timeout
def rejected(broker: str, replay: bool, topics: Topics, broker_timeout: float) -> None:
    """List rejected records as JSON lines, or send those again that were not sent again before."""
    from streams.workers.kafka.purchases import read_rejected
    from streams.workers.kafka.sending_again import send_again

    with errors_as_messages():
        if replay:
            count = send_again(broker, topics, broker_timeout)
            click.echo(f"{count:,} rejected records sent to {topics.purchases} again", err=True)
            return
        for record in read_rejected(broker, topics, broker_timeout):
            document = record._asdict() | {
                "key": None if record.key is None else record.key.decode("utf-8", "backslashreplace"),
                "value": record.value.decode("utf-8", "backslashreplace"),
            }
            click.echo(json.dumps(document, ensure_ascii=False))


@click.command(context_settings=_ENVIRONMENT)
@_state_dir
@click.option("--to", required=True, type=click.Path(file_okay=False, path_type=Path), help="Directory to write it to.")
@generation_option
@click.option("--admin", default="127.0.0.1:6066", metavar="HOST:PORT", help="Web server of the worker, if it runs.")
@admin_token_option
def snapshot(state_dir: Path, to: Path, generation: str, admin: str, admin_token: str | None) -> None:
    """Write a snapshot of a worker's state.

    A running worker writes it itself, below its --snapshot-root, if you give its --admin-token. Nothing that is there
    is replaced: name a new directory each time. A worker started with --restore-from uses it.
    """
    with errors_as_messages():
        if not (state_dir / generation).is_dir():
            raise StateError(f"{state_dir} holds no generation '{generation}'; name the --state-dir of a worker")
        with StateDirectory(state_dir, generation) as directory:
            try:
                written = snapshot_directory(directory, to)
            except StateLocked:
                written = _worker_snapshot(admin, admin_token, to.resolve())
    for path in written:
        click.echo(path)


def _worker_snapshot(admin: str, token: str | None, to: Path) -> list[Path]:
    """Have a running worker write a snapshot."""
    import urllib.error
    import urllib.request

    body = json.dumps({"to": str(to)}).encode()
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    request = urllib.request.Request(f"http://{admin}/snapshot", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
            return [Path(path) for path in json.load(answer)["stores"]]
    except urllib.error.HTTPError as error:
        with error:
            detail = json.loads(error.read() or b"{}").get("detail", error.reason)
        raise SnapshotFailed(f"the worker at {admin} wrote no snapshot: {detail}") from error
    except (urllib.error.URLError, OSError) as error:
        raise SnapshotFailed(
            f"the worker at {admin} cannot be asked for a snapshot ({error}); name its address with --admin"
        ) from error


def replay_to_kafka(
    broker: str,
    logs: Sequence[ReadableLog],
    topics: Topics,
    *,
    speed: str = "max",
    broker_timeout: float = 30.0,
    on_progress: Callable[[Published], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Published | None:
    """Send log files to the topic `purchases`; a replay that was interrupted resumes where it stopped.

    Args:
        broker: host:port.
        logs: to send, in order.
        topics: their names.
        speed: "max", or how many times faster than the orders happened.
        broker_timeout: how long to wait for a broker, in seconds.
        on_progress: called after each batch.
        stop: asked after each batch whether to stop.

    Returns:
        How much was sent; None if there was nothing to read.

    Raises:
        click.ClickException: what went wrong.
    """
    last = None
    with errors_as_messages():
        pace = Pace(times_real(speed))
        for last in publish_logs(
            broker,
            topics.purchases,
            [log.path for log in logs],
            {},
            formats={log.path: log.log_format for log in logs},
            names={log.path: log.file.name for log in logs},
            pace=pace,
            timeout_s=broker_timeout,
            stop=stop,
            copy=replace(topics, rekey=True).log,
        ):
            on_progress(last)
    return last


def times_real(text: str) -> float | None:
    """The value of --speed: how many times real time; None: as fast as possible.

    >>> times_real("max"), times_real("60")
    (None, 60.0)
    """
    if text == "max":
        return None
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not 0 < times < float("inf"):
        raise click.UsageError(f"--speed is '{text}', neither max nor a number above 0")
    return times


@click.group()
def main() -> None:
    """The commands that need Kafka, by themselves."""


for _command in (topics, worker, rejected, snapshot, import_):
    main.add_command(_command)

if __name__ == "__main__":
    main()
