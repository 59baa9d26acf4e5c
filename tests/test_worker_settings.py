"""Settings of a worker: each has an option, and what is wrong is said before anything starts."""

from __future__ import annotations

from dataclasses import MISSING, fields

import click
import pytest
from click.testing import CliRunner

from state.memory import shown
from streams.commands.kafka import worker
from streams.engine.scores import SCORES
from streams.workers.kafka.topics import RECORD_BYTES
from streams.workers.settings import STAGES, WorkerSettings

OPTIONS = {option.name: option for option in worker.params}


def test_every_setting_has_an_option() -> None:
    settings = {field.name for field in fields(WorkerSettings)}

    # topics are made of two options, and the timeout has its unit in the setting's name
    assert settings - OPTIONS.keys() == {"topics", "broker_timeout_s"}


def test_options_and_settings_have_the_same_defaults() -> None:
    defaults = {field.name: field.default for field in fields(WorkerSettings) if field.default is not MISSING}
    defaults["stages"] = ",".join(STAGES)  # given as text
    defaults["record_bytes"] = shown(RECORD_BYTES)

    # click leaves options without a default, and lists of values, unset
    given = {name: default for name, default in defaults.items() if name in OPTIONS and default not in (None, ())}
    assert given == {name: OPTIONS[name].default for name in given}


def test_a_worker_takes_every_score_there_is() -> None:
    assert isinstance(OPTIONS["score"].type, click.Choice)
    assert list(OPTIONS["score"].type.choices) == list(SCORES)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--score=best", "'best' is not one of 'blend'"),
        ("--refresh-time-fraction=-1", "-1.0 is not in the range x>=0"),
        ("--lists-per-second=0", "0.0 is not in the range x>0"),
        ("--rekey --no-fencing", "--rekey needs transactions"),
        ("--rekey --partitioner=crc32", "--rekey places customers by murmur2: leave out --partitioner"),
        ("--record-bytes=15KiB", "'15KiB' is not from 16KiB to 64MiB, as brokers take them"),
        ("--record-bytes=1000000", "'1000000' is no size with its unit"),
        ("--stages=ingest,rank", "--stages is 'ingest,rank', not ingest, tally or one of them"),
    ],
)
def test_a_wrong_setting_is_named(option: str, message: str) -> None:
    result = CliRunner().invoke(worker, ["--broker", "127.0.0.1:1", "--state-dir", "state", *option.split()])

    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
