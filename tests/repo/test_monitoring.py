"""What ``deploy/monitoring`` asks Prometheus for fits the metrics that the operator has."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
import yaml

from reconciler.api import resources as r
from reconciler.api.crds import crds
from reconciler.cluster.client import Client
from reconciler.decisions.plan import Settings
from reconciler.embedded.server import Server
from reconciler.engine import operator
from reconciler.engine.clock import VirtualClock
from reconciler.manifests import installation
from reconciler.observability import alarms, metrics
from statemachines import repository

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["spec"]["groups"]
    for rule in group["rules"]
]
PANELS = json.loads((FOLDER / "dashboard.json").read_text())["panels"]
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]
METRIC = re.compile(r"\btandem_\w+")
GROUPED = re.compile(r"by \(([\w, ]+)\) \((?:rate\(|(?:max|min) by \([\w, ]+\) \()*(tandem_\w+)")
PHASE = re.compile(r'phase="(\w+)"')


@pytest.fixture(scope="module")
def known():
    """The labels of each metric, of an operator that has worked and a cluster with all of it."""
    clock = VirtualClock(dt.datetime(2026, 3, 2, tzinfo=dt.UTC))
    client = Client(Server(clock))
    for definition in crds():
        client.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition)
    loop = operator.build(client, clock, Settings(), 1)
    client.create(r.REPOSITORIES, {**at("r"), "spec": {"backend": {}}})
    loop.settle()
    fault = {"type": "RetentionPolicyApplied", "status": "False", "reason": "Locked"}
    view = Cluster(
        {
            r.BACKUP_BATCHES: [
                at("b", phase="Failed", nextSessionTime=MOMENT, lastSessionTime=MOMENT)
            ],
            r.BACKUP_SESSIONS: [
                at("ran", phase="Succeeded", conditions=[fault]),
                at("runs", phase="Running", sessionDeadline=MOMENT),
            ],
            r.REPOSITORIES: [at("r", phase="Ready", integrity=True)],
        }
    )
    collectors = metrics.of_loop(loop), metrics.of_backups(view), alarms.of_alarms(view)
    found = [metric for collect in collectors for metric in collect()]
    assert all(metric.samples for metric in found), "a metric of which no label is known"
    return {metric.name: set(metric.samples[0][0]) for metric in found}


MOMENT = "2026-03-02T00:00:00Z"


def at(name, **status):
    invoker = {"kind": "BackupBatch", "name": "b"}
    return {
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": MOMENT},
        "spec": {"schedule": "@daily", "invoker": invoker},
        "status": status,
    }


class Cluster:
    """A View of these objects."""

    def __init__(self, objects):
        self.objects = objects

    def list(self, resource):
        return self.objects.get(resource, ())


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_that_is_asked_for_exists_with_the_labels_it_is_grouped_by(known, expression):
    assert METRIC.findall(expression)
    assert set(METRIC.findall(expression)) <= set(known)
    for labels, metric in GROUPED.findall(expression):
        assert set(labels.split(", ")) <= known[metric], metric


def test_every_alarm_has_a_rule():
    asked = {metric for rule in RULES for metric in METRIC.findall(rule["expr"])}
    named = {metric.name for metric in alarms.of_alarms(Cluster({}))()}
    assert named <= asked


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_names_only_labels_that_it_groups_by_and_is_explained(rule):
    kept = {label for labels, _ in GROUPED.findall(rule["expr"]) for label in labels.split(", ")}
    text = json.dumps(rule["annotations"])
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert f"## {rule['alert']}\n" in (ROOT / "docs" / "monitoring.md").read_text()


def test_a_phase_that_is_asked_for_is_one():
    asked = {phase for expression in EXPRESSIONS for phase in PHASE.findall(expression)}
    assert asked <= {state.name for state in repository.TABLE.states}


def test_the_monitor_selects_the_service_of_the_metrics():
    monitor = yaml.safe_load((FOLDER / "service-monitor.yaml").read_text())
    service = installation.metrics_service()
    selected = monitor["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["honorLabels"], "else `namespace` would be the operator's"
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
