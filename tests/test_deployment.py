"""What runs workers elsewhere: the chart for Kubernetes as Helm renders it, alerts, the dashboard, and the image."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import helm_python as helm
import kubernetes_validate
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from state.memory import PartUse
from streams.commands.kafka import topics, worker
from streams.endpoint.answers import PartitionStatus, Status
from streams.endpoint.metrics import Metrics
from streams.endpoint.routes import ROUTES
from tests.live_shop import write_stopped_shop
from tests.served import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
CHART = ROOT / "deploy" / "helm" / "alsobought"
ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
EVERYTHING: dict[str, Any] = {
    "replicas": 3,
    "imagePullSecrets": [{"name": "registry"}],
    "kafka": {"broker": "one:9092,two:9092", "existingSecret": "kafka", "certificatesSecret": "certificates"},
    "existingSecret": "tokens",
    "options": {"SCORE": "lift", "STANDBY": "true", "TOPIC_PREFIX": "shop-", "REKEY": "true"},
    "persistence": {"storageClass": "fast", "snapshotTo": "s3://bucket/snapshots"},
    "allowHosts": ["shop.example"],
    "serviceAccount": {"annotations": {"role": "writer"}},
    "podAnnotations": {"a": "b"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "only", "operator": "Exists"}],
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
SETS = {"as it is": {}, "everything": EVERYTHING}
OF_THE_OPERATOR = {"ServiceMonitor", "PrometheusRule"}
"""Kinds that the operator of Prometheus defines; Kubernetes has no schema of them."""
VERSIONS = ("1.27.0", "1.37.0")


def rendered(values: Mapping[str, Any], name: str = "shop") -> dict[tuple[str, str], dict[str, Any]]:
    """What Helm makes of the chart: kind and name -> document."""
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(dict(values))
        files = chart.render(dict(values), name=name, namespace="recommendations")
    documents = [one for text in files.values() for one in yaml.safe_load_all(text) if one]
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    assert len(found) == len(documents)
    return found


@pytest.fixture(name="documents", params=SETS)
def _documents(request: pytest.FixtureRequest) -> dict[tuple[str, str], dict[str, Any]]:
    return rendered(SETS[request.param])


def container(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_helm_finds_nothing_to_complain_about() -> None:
    for values in SETS.values():
        report = helm.lint(CHART, values, strict=True)
        assert report["errors"] == []
        assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_is_what_kubernetes_takes(
    documents: dict[tuple[str, str], dict[str, Any]], version: str
) -> None:
    for document in documents.values():
        if document["kind"] not in OF_THE_OPERATOR:
            kubernetes_validate.validate(document, version, strict=True)


def test_it_has_what_workers_need() -> None:
    kinds = [kind for kind, _ in rendered(EVERYTHING)]

    assert sorted(kinds) == sorted(
        ["StatefulSet", *["Service"] * 2, "ServiceAccount", "PodDisruptionBudget", "Job", "ConfigMap", *OF_THE_OPERATOR]
    )


def test_what_selects_pods_finds_workers(documents: dict[tuple[str, str], dict[str, Any]]) -> None:
    """A Service, budget or monitor that selects nothing fails in silence."""
    workers = documents["StatefulSet", "shop-alsobought"]
    labels = workers["spec"]["template"]["metadata"]["labels"].items()
    job = documents["Job", "shop-alsobought-topics"]["spec"]["template"]["metadata"]["labels"].items()
    assert workers["spec"]["serviceName"] == "shop-alsobought-workers"
    assert ("Service", "shop-alsobought-workers") in documents
    for (kind, _), document in documents.items():
        selector = document["spec"].get("selector") if kind not in ("ServiceAccount", "ConfigMap", "Job") else None
        if selector and kind == "ServiceMonitor":
            services = [one["metadata"]["labels"].items() for (of, _), one in documents.items() if of == "Service"]
            assert sum(selector["matchLabels"].items() <= one for one in services) == 1
        elif selector:
            chosen = selector.get("matchLabels", selector).items()
            assert chosen <= labels
            assert kind == "StatefulSet" or not chosen <= job


def test_options_exist_and_are_accepted(
    documents: dict[tuple[str, str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands read what the chart sets, from its environment and its arguments."""
    for command, document in (
        (worker, documents["StatefulSet", "shop-alsobought"]),
        (topics, documents["Job", "shop-alsobought-topics"]),
    ):
        of = container(document)
        known = {
            f"ALSOBOUGHT_{option[2:].replace('-', '_').upper()}" for each in command.params for option in each.opts
        }
        names = {variable["name"] for variable in of["env"]} - {"POD"}
        assert names <= known
        with monkeypatch.context() as patched:
            for variable in of["env"]:
                value = variable.get("value", "a-secret-of-the-test").replace("$(POD)", "shop-alsobought-0")
                patched.setenv(variable["name"], value)
            assert of["args"][0] == command.name
            given = command.make_context("alsobought", of["args"][1:]).params
        assert given["broker"] == {variable["name"]: variable for variable in of["env"]}["ALSOBOUGHT_BROKER"]["value"]
        assert given["generation"] == "live"
    assert given["partitions"] == 4


def test_probes_ask_what_is_answered(documents: dict[tuple[str, str], dict[str, Any]]) -> None:
    of = container(documents["StatefulSet", "shop-alsobought"])
    routes = {route.path for route in ROUTES}
    (port,) = of["ports"]
    for probe in ("livenessProbe", "readinessProbe"):
        assert of[probe]["httpGet"]["path"] in routes
        assert of[probe]["httpGet"]["port"] == port["name"]
    assert port["containerPort"] == 6066


def test_pods_have_no_rights_that_they_do_not_need(documents: dict[tuple[str, str], dict[str, Any]]) -> None:
    for kind, name in (("StatefulSet", "shop-alsobought"), ("Job", "shop-alsobought-topics")):
        pod = documents[kind, name]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        security = container(documents[kind, name])["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        written = {mount["mountPath"] for mount in container(documents[kind, name])["volumeMounts"]}
        assert "/tmp" in written  # noqa: S108 - of a container


def test_secrets_are_named_and_never_written(documents: dict[tuple[str, str], dict[str, Any]]) -> None:
    of = container(rendered(EVERYTHING)["StatefulSet", "shop-alsobought"])
    secret = [variable for variable in of["env"] if "secretKeyRef" in variable.get("valueFrom", {})]

    assert {variable["name"] for variable in secret} == {
        "ALSOBOUGHT_ADMIN_TOKEN",
        "ALSOBOUGHT_READ_TOKEN",
        "ALSOBOUGHT_WORKER_SECRET",
    }
    assert not [kind for kind, _ in documents if kind == "Secret"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"replica": 3}, "replica"),
        ({"kafka": {"broker": "kafka"}}, "broker"),
        ({"options": {"score": "lift"}}, "score"),
        ({"persistence": {"size": "much"}}, "size"),
    ],
)
def test_a_value_that_cannot_be_is_named(values: dict[str, Any], named: str) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmValuesError, match=named):
        chart.validate_schema(values)


def queries() -> dict[str, str]:
    """Every query of the alerts and the dashboard, by where it stands."""
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            found[f"{panel['title']} {target['refId']}"] = target["expr"].replace("$job", ".*")
    return found


def selected(query: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics that a query selects, each with the labels by which."""
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", str(promql_parser.parse(query))):
        yield name, set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', matchers))


def samples(text: str) -> dict[str, set[str]]:
    """The metrics of an exposition, each with its labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


FULL = Status(
    *(1,) * 7,
    partitions=[PartitionStatus("items", 0, "worker", 1, 0, 1, 0, 1)],
    newest_ms=1,
    skipped={"items": 1},
    snapshot_age_s=1.0,
    rekeyed=1,
    rekey_lag={0: 1},
    standby_lag={("items", 1): 1},
    memory={"names": PartUse(1, 2)},
)
"""Of a worker with every option that shows a metric of its own."""
OF_SCRAPING = {"job", "instance"}


def test_every_metric_that_is_asked_for_exists(tmp_path: Path) -> None:
    """An alert on a metric that was renamed never fires."""
    write_stopped_shop(tmp_path)
    with serving(tmp_path) as server:
        server.document("v1/bestsellers")
        live = samples(server.text("metrics"))
    metrics = Metrics(lambda: FULL, "1")
    metrics.answered("/v1/bestsellers", 200, 0.001)
    known = samples(metrics.text().decode())

    assert live.keys() <= known.keys()
    asked = [(where, name, labels) for where, query in queries().items() for name, labels in selected(query)]
    assert [(where, name) for where, name, _ in asked if name not in known] == []
    assert [(where, name, labels) for where, name, labels in asked if not labels <= known[name] | OF_SCRAPING] == []
    assert {name for _, name, _ in asked} >= {name for name in live if name.startswith("alsobought_")} - {
        "alsobought_request_seconds_sum",
        "alsobought_request_seconds_created",
    }, "a metric that nobody looks at"


def test_every_query_is_one() -> None:
    for query in queries().values():
        assert list(selected(query)), query


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here; apt-get install prometheus")
def test_prometheus_takes_the_alerts(tmp_path: Path) -> None:
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    summaries = {
        "AlsoboughtStuck": "Partition 0 of items waits, and nothing is counted",
        "AlsoboughtListsOld": "Lists of items 0 do not show what was bought 56m 40s ago",
        "AlsoboughtDamage": "A store of w was damaged, and set aside",
    }
    descriptions = {rule["alert"]: rule["annotations"]["description"] for rule in RULES}
    series = {
        'alsobought_lag_records{job="a", kind="items", partition="0", instance="w"}': "7+0x60",
        'alsobought_lines_total{job="a", instance="w"}': "100+0x60",
        'alsobought_refresh_age_seconds{job="a", kind="items", partition="0", instance="w"}': "1000+60x60",
        'alsobought_damaged_stores{job="a", instance="w"}': "1+0x60",
    }
    labels = {
        "AlsoboughtStuck": {"job": "a", "kind": "items", "partition": "0", "severity": "critical"},
        "AlsoboughtListsOld": {"job": "a", "kind": "items", "partition": "0", "severity": "warning"},
        "AlsoboughtDamage": {"job": "a", "instance": "w", "severity": "critical"},
    }
    tests = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": "40m",
                        "alertname": alert,
                        "exp_alerts": [
                            {
                                "exp_labels": labels[alert],
                                "exp_annotations": {"summary": summary, "description": descriptions[alert]},
                            }
                        ],
                    }
                    for alert, summary in summaries.items()
                ]
                + [{"eval_time": "40m", "alertname": "AlsoboughtGone", "exp_alerts": []}],
            }
        ],
    }
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump(tests))
    ran = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + right, place["y"] + down) for right in range(place["w"]) for down in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(right for right, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
