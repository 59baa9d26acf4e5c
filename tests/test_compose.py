"""docker-compose.yml is valid, complete, and uses options that exist. It cannot be run everywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from streams.commands.kafka import topics, worker
from streams.endpoint.routes import ROUTES

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()

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
    "anyOf": [{"required": ["test"]}, {"required": ["disable"]}],
    "additionalProperties": False,
    "properties": {
        "disable": {"const": True},
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
        "cap_drop": TEXTS,
        "command": TEXTS,
        "depends_on": {"type": "object", "additionalProperties": NEED},
        "environment": {"type": "object", "additionalProperties": {"type": ["string", "integer"]}},
        "healthcheck": HEALTHCHECK,
        "image": {"type": "string"},
        "mem_limit": {"type": "string", "pattern": r"^\d+[mg]$"},
        "pids_limit": {"type": "integer", "minimum": 1},
        "ports": {**TEXTS, "uniqueItems": True},
        "profiles": TEXTS,
        "read_only": {"type": "boolean"},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "security_opt": TEXTS,
        "stop_grace_period": DURATION,
        "tmpfs": TEXTS,
        "ulimits": {"type": "object", "additionalProperties": {"type": "integer"}},
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
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 4
    assert {base for base in bases[:-1] if base.count(".") != 2} == set()
    assert bases[-1].startswith("for-"), "one of the stages above, by the processor"
    assert DOCKERFILE.index("\nUSER alsobought\n") > DOCKERFILE.rindex("\nFROM ")


def test_the_image_installs_what_is_pinned_and_nothing_else() -> None:
    """A dependency of a dependency that is published today does not get into the image of yesterday."""
    installs = re.findall(r"pip install .*", DOCKERFILE)

    assert all("--require-hashes" in install or "--no-deps --no-build-isolation" in install for install in installs)


def test_containers_have_no_rights_that_they_do_not_need(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["cap_drop"] == ["ALL"]
        assert service["pids_limit"] > 0
        assert service.get("read_only") or name == "kafka"  # Kafka writes its settings where it is installed
        assert "mem_limit" in service or service["healthcheck"].get("disable")  # what ends by itself


def test_health_is_looked_at_where_it_is_answered() -> None:
    (path,) = re.findall(r"http://127\.0\.0\.1:6066(/\S+?)'", DOCKERFILE)

    assert path in {route.path for route in ROUTES}


def test_environment_names_options_that_exist(compose: dict[str, Any]) -> None:
    known = {f"ALSOBOUGHT_{option.name}".upper() for command in (topics, worker) for option in command.params}
    for name, service in compose["services"].items():
        if name != "kafka":
            assert set(service.get("environment", ())) <= known
