"""The command that looks at a log, or at a topic, and prints the command that reads it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.commands.broker_options import broker_options
from streams.commands.format_options import NAMES, format_options, format_settings
from streams.commands.located import brought
from streams.commands.record_options import wire_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.logs.inspection.findings import Inspection
    from producers.logs.inspection.profiles import Profile
    from producers.logs.log_file import LogFile

NO = 1
WHOLE_BYTES = 64 << 20
"""Files above this are looked at in samples alone, also if these leave open how dates are written."""
PREVIEW_LINES = 20


@click.command()
@click.argument("logs", nargs=-1, metavar="FILE...")
@format_options
@broker_options("Where a topic is to be looked at.", required=False)
@click.option("--topic", metavar="NAME", help="A topic to look at, in place of files.")
@wire_options
@click.option("--write", metavar="FILE.toml", type=click.Path(dir_okay=False, path_type=Path), help="Write a profile.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def inspect(
    logs: tuple[str, ...],
    broker: str | None,
    topic: str | None,
    write: Path | None,
    as_json: bool,
    **options: Any,  # noqa: ANN401 - those of `format_options` and `wire_options`
) -> None:
    """Look at purchase logs, or at a topic: what they are, how they would be read, and the command that reads them.

    Tells encoding, separator, header and columns; what each column is taken for, and why; how dates are written; shares
    of missing and repeated lines, the busiest customer, and whether the log is in order; and the first lines as they
    would be counted. Nothing is counted. Large files are looked at in samples of their beginning, middle and end;
    `replay` looks at the rest.

    Exit code 1 if a file can be read in several ways; the question is printed with the option that answers it.

    \b
      alsobought inspect orders.csv
      alsobought inspect export.xlsx --json
      alsobought inspect orders.csv --write orders.toml
      alsobought replay orders.csv --profile orders.toml --state-dir shop
      alsobought inspect --broker HOST:PORT --topic shop.orders
    """
    if bool(logs) == bool(topic) or bool(broker) != bool(topic):
        raise click.UsageError("name files, or --broker and --topic")
    settings, profile = format_settings(options)
    found, documents = [], []
    if broker and topic:
        one, document = _topic(broker, topic, settings, profile, options)
        found.append(one)
        documents.append(document)
    for log in logs:
        with brought([log]) as (files, _):
            one = _look(files, settings, profile)
            found.append(one)
            documents.append(_document(one, files, log, options))
    if write is not None:
        _write(found, write, topic or found[0].path.name)
    if as_json:
        click.echo(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False))
    else:
        click.echo("\n\n".join(_report(one, document) for one, document in zip(found, documents, strict=True)))
        if write is not None:
            click.echo(f"\nprofile written to {write}")
    if any(one.question is not None for one in found):
        sys.exit(NO)


def _given(options: dict[str, Any], found: Sequence[str]) -> list[str]:
    """The options that were given and are not among those found."""
    arguments = []
    for name in NAMES:
        option = f"--{name.replace('_', '-')}"
        if options[name] and option not in ("--columns", "--profile", *found):
            arguments += [option] if options[name] is True else [option, options[name]]
    return arguments


def _topic(
    broker: str, topic: str, settings: dict[str, Any], profile: Profile | None, options: dict[str, Any]
) -> tuple[Inspection, dict[str, Any]]:
    """What is found in some records of a topic, and the same for scripts.

    Raises:
        LogError, RegistryError, BrokerUnavailable: it cannot be looked at.
    """
    from producers.logs.log_file import spoken_of
    from streams.commands.expected_errors import errors_as_messages
    from streams.commands.inspect_topic import topic_log

    with errors_as_messages(), topic_log(broker, topic, options) as log, spoken_of([log.file]):
        # records of several partitions are in no order, and need none
        found = _look([log.file], {**settings, "order": "as-it-stands"}, profile)
        found.what, found.warnings, found.complete = log.what, log.warnings + found.warnings, log.complete
        document = _document(found, [log.file], str(log.file.path), options)
        if document["command"] is not None:
            document["command"] = [*log.command, *_of_records(found.options), *_given(options, found.options)]
    return found, document


def _of_records(options: list[str]) -> list[str]:
    """The options without columns that are where orders have them."""
    from producers.logs.columns import parse_columns

    if "--columns" not in options:
        return options
    place = options.index("--columns")
    columns = parse_columns(options[place + 1])
    kept = [f"{field}={path}" for field, path in columns.items() if path != f"lines[].{field}"]
    return [*options[:place], *(["--columns", ",".join(kept)] if kept else []), *options[place + 2 :]]


def _look(files: list[LogFile], settings: dict[str, Any], profile: Profile | None) -> Inspection:
    """What is found in the first of some files that are read alike; the others are read so too.

    Raises:
        LogError: one cannot be read, or not as the first.
    """
    from producers.logs.inspection.findings import NoRows
    from producers.logs.settling import Settler, inspected

    settler = Settler(settings, profile, files)
    found = None
    for file in files:
        if found is None:
            given = {**settings, "constants": file.keys} if file.keys else settings
            others = [other for other in files if other is not file]
            try:
                found = inspected(file.path, given, profile, others, whole=file.size <= WHOLE_BYTES)
            except NoRows:
                if file is files[-1]:
                    raise
                continue
            if found.log_format is None:
                return found
            settler.remember(file, found.log_format)
        elif (settled := settler.format_of(file)) is not None:
            found.warnings += [text for text in settled.warnings if text not in found.warnings]
            found.complete = False
    assert found is not None
    settler.check_empty()
    return found


def _document(found: Inspection, files: list[LogFile], log: str, options: dict[str, Any]) -> dict[str, Any]:
    """What was found, for scripts."""
    from producers.logs.log_file import as_spoken

    log_format = found.log_format
    shown = files[0].group or files[0].shown
    command = None
    if found.question is None:
        argument = log if files[0].fetch is None else shown  # an address without credentials
        command = ["replay", argument, *found.options, *_given(options, found.options)]
        if argument != log:
            found.warnings.append(f"{shown} is shown without what stands before @ or behind ?: put it back")
    return {
        "file": shown,
        "files": len(files),
        "what": found.what,
        "profile": found.profile or None,
        "complete": found.complete,
        "rows": found.rows,
        "columns": [
            {"column": column, "field": field or None, "why": why or None, "example": example}
            for column, field, why, example in found.columns
        ],
        "assumed": [as_spoken(text, files) for text in found.assumed],
        "warnings": [as_spoken(text, files) for text in found.warnings],
        "figures": {name: round(value, 4) for name, value in found.figures.items()},
        "format": None if log_format is None else {"container": log_format.container, **log_format.differences()},
        "lines": [] if log_format is None else _preview(found),
        "command": command,
        "question": None if found.question is None else as_spoken(found.question, files),
    }


def _preview(found: Inspection) -> list[dict[str, Any]]:
    """The first lines of the log as they would be counted."""
    from itertools import islice

    from producers.logs.inspection.preview import preview

    assert found.log_format is not None
    return list(islice(preview(found.path, found.log_format), PREVIEW_LINES))


def _report(found: Inspection, document: dict[str, Any]) -> str:
    """What was found, for people."""
    size = f"{found.rows:,} rows" if found.complete else f"{found.rows:,} rows looked at, of more"
    parts = [f"{document['files']:,} files"] * (document["files"] > 1) + [found.what, size] * bool(found.what)
    lines = [f"{document['file']}: {', '.join(parts)}" if parts else document["file"]]
    lines += [f"  {text}" for text in document["assumed"]]
    if found.columns:
        widths = [max(len(str(row[place])) for row in found.columns) for place in range(2)]
        lines += ["", "columns:"]
        for column, field, why, example in found.columns:
            taken = f"{field:<{widths[1]}}" + (f"  {why}" if why else "")
            lines.append(f"  {column:<{widths[0]}}  {taken or '-':<30}  {example}".rstrip())
    figures = {
        "without_customer_share": "lines without customer",
        "duplicate_share": "lines that occur before",
        "busiest_customer_share": "lines of the busiest customer",
        "out_of_order_share": "lines a day or more behind",
    }
    shares = [f"  {found.figures[name]:>6.1%}  {text}" for name, text in figures.items() if found.figures.get(name)]
    if shares:
        lines += ["", "of the rows looked at:", *shares]
    if document["lines"]:
        lines += ["", "as they would be counted:"]
        lines += [f"  {_line(line)}" for line in document["lines"]]
    lines += [""] * bool(document["warnings"]) + [f"note: {text}" for text in document["warnings"]]
    if not found.complete:
        lines += ["", "only samples were looked at: every line is checked when it is read"]
    if document["question"] is not None:
        lines += ["", f"only you can tell: {document['question']}"]
    else:
        words = ["alsobought", *document["command"]]
        command = shlex.join([*words, "--state-dir", "state"] if document["command"][0] == "replay" else words)
        lines += ["", "read it with:", f"  {command}"]
    return "\n".join(lines)


def _line(line: dict[str, Any]) -> str:
    if "rejected" in line:
        return f"{line['place']}: not counted: {line['rejected']}"
    order = f", order {line['order']}" if line.get("order") else ""
    kind = "" if line["type"] == "purchase" else f" {line['type']}"
    return f"{line['timestamp']}  {line['customer_id']}{kind}: {line['quantity']} x {line['item_id']}{order}"


def _write(found: list[Inspection], path: Path, looked_at: str) -> None:
    formats = {one.log_format.to_json() for one in found if one.log_format is not None}
    if len(formats) != 1 or any(one.log_format is None for one in found):
        raise click.UsageError("--write takes files that are all read alike, and leave no question open")
    log_format = found[0].log_format
    assert log_format is not None
    path.write_text(f"# made by: alsobought inspect {looked_at}\n{log_format.to_toml()}")
