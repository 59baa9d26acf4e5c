"""Clients that OpenAPI Generator makes of the endpoint's own description, and what a linter says of it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from tests.downloads import artifact, cached
from tests.node import NODE, npm_package

if TYPE_CHECKING:
    from pathlib import Path

GENERATOR_VERSION = "7.25.0"
TYPESCRIPT_VERSION = "5.9.3"
REDOCLY_VERSION = "2.77.0"
_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", "-XX:-UsePerfData")


def generator() -> Path:
    """The generator's jar; mvn gets it the first time (32 MB)."""
    coordinates = f"org.openapitools:openapi-generator-cli:{GENERATOR_VERSION}"
    [jar] = cached(
        f"openapi-generator-{GENERATOR_VERSION}", lambda directory: artifact(coordinates, directory)
    ).iterdir()
    return jar


def tsc() -> Path:
    """The compiler of TypeScript."""
    return npm_package("typescript", TYPESCRIPT_VERSION) / "lib" / "tsc.js"


def redocly() -> Path:
    """The linter of OpenAPI documents."""
    return npm_package("@redocly/cli", REDOCLY_VERSION) / "bin" / "cli.js"


def generate(language: str, document: dict[str, Any], directory: Path) -> Path:
    """The directory of a client that is generated from an OpenAPI document.

    Args:
        language: `python` or `typescript-fetch`, as generators are called.
        document: the description.
        directory: an empty one, for the client and the description.
    """
    description, client = directory / "openapi.json", directory / "client"
    description.write_text(json.dumps(document))
    _succeed("java", *_JVM, "-jar", generator(), "generate", "-g", language, "-i", description, "-o", client)
    return client


def compiled(client: Path, program: Path) -> Path:
    """A program that uses a client of TypeScript, both strictly checked, as JavaScript.

    Args:
        client: its directory.
        program: in TypeScript; it imports the client from `./client`.
    """
    directory = client.parent
    source = directory / program.name
    source.write_text(program.read_text())
    options = ("--strict", "--target", "es2022", "--module", "commonjs", "--lib", "es2022,dom")
    _succeed(NODE, tsc(), *options, "--outDir", directory / "built", source)
    return (directory / "built" / program.name).with_suffix(".js")


def printed(program: Path, *arguments: str) -> Any:  # noqa: ANN401 - what it prints
    """The JSON that a program in JavaScript prints."""
    return json.loads(_succeed(NODE, program, *arguments))


def complaints(document: dict[str, Any], directory: Path) -> list[str]:
    """What redocly's recommended rules, warnings too, have against an OpenAPI document."""
    (directory / "openapi.json").write_text(json.dumps(document))
    command = (NODE, redocly(), "lint", "--extends", "recommended", "--format", "json", directory / "openapi.json")
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **quiet}, cwd=directory
    )
    found = json.loads(done.stdout)
    return [
        f"{one['severity']} {one['ruleId']}: {one['message']} at {one['location'][0].get('pointer')}"
        for one in found["problems"]
    ]


def _succeed(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
