"""docker-compose.yml is valid, complete, and uses options that exist. It cannot be run everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.commands.kafka import topics, worker

ROOT = Path(__file__).parent.parent

TEXTS = {"type": "array", "items": {"type": "string"}}
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m)$"}
NEED = {
    "type": "object",
    "required": ["condition"],
    "additionalProperties": False,
    "properties": {"condition": {"enum": ["service_started", "service_healthy", "service_completed_successfully"]}},
}
HEALTHCHECK = {
    "type": "object",
    "required": ["test"],
    "additionalProperties": False,
    "properties": {
        "test": TEXTS,
        "interval": DURATION,
        "timeout": DURATION,
        "start_period": DURATION,
        "retries": {"type": "integer", "minimum": 1},
    },
}
SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "build": {"type": "string"},
        "command": TEXTS,
        "depends_on": {"type": "object", "additionalProperties": NEED},
        "environment": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        "healthcheck": HEALTHCHECK,
        "image": {"type": "string"},
        "ports": {**TEXTS, "uniqueItems": True},
        "profiles": TEXTS,
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "stop_grace_period": DURATION,
        "volumes": {**TEXTS, "uniqueItems": True},
    },
}
COMPOSE = {
    "type": "object",
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
    "properties": {
        "name": {"type": "string"},
        "services": {"type": "object", "additionalProperties": SERVICE},
        "volumes": {"type": "object", "additionalProperties": {"type": "null"}},
    },
}
"""The part of the Compose Specification that the file uses."""


@pytest.fixture
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_it_conforms_to_the_compose_specification(compose: dict[str, Any]) -> None:
    jsonschema.validate(compose, COMPOSE)


def test_services_depend_on_services_and_conditions_that_exist(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        assert ("image" in service) != ("build" in service)
        for name, need in service.get("depends_on", {}).items():
            assert need["condition"] in {"service_healthy", "service_completed_successfully"}
            if need["condition"] == "service_healthy":
                assert "healthcheck" in services[name]


def test_volumes_are_declared_and_no_two_workers_share_one(compose: dict[str, Any]) -> None:
    """Two workers on one state directory refuse to start."""
    mounted = [
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", ())
    ]
    named = [name for name in mounted if not name.startswith(("$", "."))]
    assert sorted(named) == sorted(compose["volumes"])


def test_ports_are_published_on_this_machine_only(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_images_are_pinned_and_the_container_is_not_root(compose: dict[str, Any]) -> None:
    assert compose["services"]["kafka"]["image"].startswith("apache/kafka:4.")
    dockerfile = (ROOT / "Dockerfile").read_text()
    base = dockerfile.split("FROM ")[1].split()[0]
    assert base.count(".") == 2
    assert "\nUSER alsobought\n" in dockerfile


def test_environment_names_options_that_exist(compose: dict[str, Any]) -> None:
    known = {f"ALSOBOUGHT_{option.name}".upper() for command in (topics, worker) for option in command.params}
    for name, service in compose["services"].items():
        if name != "kafka":
            assert set(service.get("environment", ())) <= known
