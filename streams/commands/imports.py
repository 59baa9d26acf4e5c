"""The command `import`: a topic of orders to `purchases`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from producers.partitioning import PARTITIONERS
from streams.commands.broker_options import broker_options
from streams.commands.format_options import record_options
from streams.commands.record_options import wire_options
from streams.commands.topic_options import topic_options

if TYPE_CHECKING:
    from streams.workers.kafka.topics import Topics

INTERRUPTED = 130


@click.command("import", context_settings={"auto_envvar_prefix": "ALSOBOUGHT", "show_default": True})
@click.argument("source", metavar="TOPIC")
@broker_options("The Kafka broker.", required=True)
@topic_options()
@wire_options
@record_options
@click.option(
    "--partitioner",
    default="auto",
    type=click.Choice(["auto", *PARTITIONERS]),
    help="How customers are placed in purchases; auto: as the orders that are there, else murmur2.",
)
@click.option(
    "--group",
    help="Consumer group of the import; another one imports TOPIC once more.  [default: alsobought-import.TOPIC]",
    show_default=False,
)
@click.option("--until-end", is_flag=True, help="Stop once everything is imported that TOPIC had at the start.")
@click.option("--commit-interval-ms", default=100, help="Longest time that records wait to be written with others.")
@click.option(
    "--session-timeout-ms", default=6_000, help="An import that is silent for this long loses its partitions."
)
@click.option("--broker-timeout", default=30.0, metavar="SECONDS", help="How long to wait for a broker.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@click.option("--log-json", is_flag=True, help="Log in JSON.")
def import_(
    source: str,
    broker: str,
    topics: Topics,
    partitioner: str,
    group: str | None,
    until_end: bool,
    commit_interval_ms: int,
    session_timeout_ms: int,
    broker_timeout: float,
    as_json: bool,
    log_json: bool,
    **options: Any,  # noqa: ANN401 - those of `wire_options` and `record_options`
) -> None:
    """Import TOPIC, a topic of orders of yours, to purchases: each record once, in its customer's partition.

    Records are orders in JSON, or what --orders, --profile and the options behind them say; they may have any key, and
    TOPIC may expire. It goes on from where it stopped, and follows TOPIC until SIGTERM or Ctrl-C. What is no order is
    imported too: workers reject it, and say where in TOPIC it stands. Several imports of a TOPIC share its partitions.

    \b
      alsobought inspect --topic shop.orders --broker HOST:PORT    # prints the command that reads it
      alsobought import shop.orders --broker HOST:PORT --profile shopify-webhook
      alsobought import shop.orders --broker HOST:PORT --orders avro --schema-registry http://registry:8081
    """
    from streams.commands.expected_errors import errors_as_messages
    from streams.commands.record_options import record_reader
    from streams.workers.importing import ImportSettings, run_import
    from streams.workers.worker_logs import set_up_logs

    set_up_logs(as_json=log_json)
    with errors_as_messages():
        done = run_import(
            ImportSettings(
                broker,
                source,
                topics,
                group or topics.import_group(source),
                partitioner,
                record_reader(broker, options),
                until_end,
                commit_interval_ms,
                session_timeout_ms,
                broker_timeout,
            )
        )
    if as_json:
        click.echo(json.dumps(done._asdict()))
    else:
        skipped = f", {done.skipped:,} skipped" if done.skipped else ""
        click.echo(f"{done.records:,} records imported from {done.topic} to {topics.purchases}{skipped}")
    if until_end and not done.complete:
        click.echo("stopped; the same command goes on from there", err=True)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    import_()
