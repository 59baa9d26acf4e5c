"""`inspect --topic` looks at a topic as at a file, and the command that it prints imports it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.commands import called, output_of, ran
from tests.registries import Registry, framed
from tests.test_import import made_source, send, shop
from tests.test_import_formats import SCHEMAS, encoded, purchases
from tests.vendor_records import KINDS
from tests.workers import made_topics

if TYPE_CHECKING:
    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

FORMATS = Path(__file__).parent.parent / "docs" / "formats.md"


def topic_of(kafka: Broker, name: str, *records: bytes | None) -> tuple[Topics, str]:
    topics = made_topics(kafka.bootstrap, f"inspect-{name}", purchases=1, items=1)
    source = made_source(kafka.bootstrap, topics)
    send(kafka.bootstrap, source, records)  # type: ignore[arg-type]
    return topics, source


def inspected(kafka: Broker, source: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        output_of("inspect", "--broker", kafka.bootstrap, "--topic", source, "--json", *options)
    )
    return found


def printed(*arguments: str | Path) -> str:
    """The output of a command in a process of its own, as an import has to be."""
    done = ran(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_printed_command_imports_records_of_another_shape(kafka: Broker) -> None:
    ours = [json.loads(order) for order in shop(0, 40)]
    theirs = [
        {"buyer": each["customer_id"], "placedAt": each["timestamp"], "cart": each["lines"], "total": 7}
        for each in ours
    ]
    for each in theirs:
        each["cart"] = [{"sku": line["item_id"], "qty": 2} for line in each["cart"]]
    topics, source = topic_of(kafka, "shape", *map(msgspec.json.encode, theirs), b"?", None)

    found = inspected(kafka, source)
    shown = output_of("inspect", "--broker", kafka.bootstrap, "--topic", source)

    assert (found["what"], found["complete"], found["rows"]) == (
        "3 partitions, JSON",
        True,
        sum(len(each["cart"]) for each in theirs),
    )
    assert found["command"][:4] == ["import", source, "--broker", kafka.bootstrap]
    assert found["warnings"][0].startswith("1 of 41 records cannot be decoded: not JSON")
    assert shown.rstrip().endswith(f"read it with:\n  {shlex.join(['alsobought', *found['command']])}")
    assert printed(*found["command"], "--until-end", *topics.options).startswith("41 records imported")
    orders = [json.loads(record.value) for record in purchases(kafka, topics) if record.value != b"?"]
    assert sorted(each["customer_id"] for each in orders) == sorted(each["customer_id"] for each in ours)
    assert {line["quantity"] for order in orders for line in order["lines"]} == {2}


@pytest.mark.parametrize("name", ["shopify-webhook", "debezium"])
def test_records_of_a_known_kind_are_known(kafka: Broker, name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    topics, source = topic_of(kafka, name, *map(msgspec.json.encode, kind.records))
    columns = ["--columns", kind.columns] if kind.columns else []

    found = inspected(kafka, source, *(["--profile", name] * bool(columns)), *columns)
    profile = tmp_path / "ours.toml"
    output_of(
        "inspect", "--broker", kafka.bootstrap, "--topic", source, "--profile", name, *columns, "--write", profile
    )

    assert found["profile"] == name
    assert found["command"][4:6] == ["--profile", name]
    assert len(found["lines"]) == len(kind.lines)
    for command in (found["command"], ["import", source, "--broker", kafka.bootstrap, "--profile", str(profile)]):
        before = len(purchases(kafka, topics))
        printed(*command, "--until-end", *topics.options, "--group", f"{source}.{command[-1][-8:]}")
        made = purchases(kafka, topics)[before:]
        assert sum(len(json.loads(record.value)["lines"]) for record in made) == len(kind.lines)


@pytest.mark.parametrize("format_", SCHEMAS)
def test_the_format_is_that_of_the_schemas(kafka: Broker, registry: Registry, format_: str) -> None:
    number = registry.register(f"inspect-{format_}", *SCHEMAS[format_])
    orders = [json.loads(order) for order in shop(0, 20)]
    for order in orders:
        order["lines"] = [{"quantity": 1} | line for line in order["lines"]]
    topics, source = topic_of(kafka, format_, *(framed(number, encoded(format_, order)) for order in orders))

    asked = called("inspect", "--broker", kafka.bootstrap, "--topic", source)
    found = inspected(kafka, source, "--schema-registry", registry.url)

    assert asked.exit_code == 1
    assert "begin with the id of a schema" in asked.stderr
    assert "--schema-registry URL" in asked.stderr
    assert found["command"][4:] == ["--orders", format_, "--schema-registry", registry.url]
    assert printed(*found["command"], "--until-end", *topics.options).startswith("20 records imported")


def test_what_cannot_be_looked_at_is_named(kafka: Broker) -> None:
    _, empty = topic_of(kafka, "empty")
    _, binary = topic_of(kafka, "binary", b"Obj\x01avro", b"\x1f\x8b")
    for arguments, message in (
        (("--topic", f"{empty}s"), f"there is no topic {empty}s"),
        (("--topic", empty), f"topic {empty} holds no records"),
        (("--topic", binary), f"none of 2 records of topic {binary} can be decoded as JSON"),
    ):
        done = called("inspect", "--broker", kafka.bootstrap, *arguments)
        assert (done.exit_code, message in done.stderr) == (1, True), done.stderr
    done = called("inspect", "--topic", empty)
    assert (done.exit_code, "name files, or --broker and --topic" in done.stderr) == (2, True)


def test_the_commands_of_the_documentation_run(kafka: Broker) -> None:
    topics, source = topic_of(kafka, "documentation", *map(msgspec.json.encode, KINDS["shopify-webhook"].records))
    text = FORMATS.read_text().partition("## Records of a topic")[2].partition("```sh\n")[2].partition("```")[0]
    commands = [shlex.split(line, comments=True) for line in text.splitlines()]

    for words in commands:
        assert words[0] == "alsobought"
        real = {"HOST:PORT": kafka.bootstrap, "shop.orders": source}
        arguments = [real.get(word, word) for word in words[1:]]
        more = ("--until-end", *topics.options) if arguments[0] == "import" else ()
        assert printed(*arguments, *more)

    assert [words[1] for words in commands] == ["inspect", "import"]
    assert len(purchases(kafka, topics)) == 1
