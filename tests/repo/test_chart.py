"""The Helm chart installs what kustomize installs, and refuses values that it does not know.

There is no Helm here. The templates use three forms of expression only, which ``rendered`` knows;
any other one fails these tests.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "chart"
KUBECTL = shutil.which("kubectl")
VALUE = re.compile(r"\{\{ toJson \.(Values|Release)\.([\w.]+) \}\}")
IF = re.compile(r"\s*\{\{- if \.Values\.([\w.]+) \}\}")


def defaults():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def at(values, path):
    for key in path.split("."):
        values = values[key]
    return values


def rendered(*, namespace="tandem", **values):
    """The objects that Helm would make, by (kind, name)."""
    known = {"Values": {**defaults(), **values}, "Release": {"Namespace": namespace}}
    texts = [path.read_text() for path in sorted(CHART.glob("templates/*.yaml"))]
    documents = yaml.safe_load_all("".join(_text(text, known) for text in texts))
    return {(each["kind"], each["metadata"]["name"]): each for each in documents if each}


def _text(text, known):
    kept, states = [], [True]
    for line in text.splitlines():
        if condition := IF.fullmatch(line):
            states.append(bool(at(known["Values"], condition[1])))
        elif line.strip() == "{{- else }}":
            states[-1] = not states[-1]
        elif line.strip() == "{{- end }}":
            states.pop()
        elif all(states):
            kept.append(VALUE.sub(lambda found: json.dumps(at(known[found[1]], found[2])), line))
    assert states == [True]
    whole = "\n".join([*kept, ""])
    assert "{{" not in whole
    return whole


def kustomized(folder):
    done = subprocess.run(
        [KUBECTL, "kustomize", ROOT / "deploy" / folder],
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        (each["kind"], each["metadata"]["name"]): each
        for each in yaml.safe_load_all(done.stdout)
        # Helm makes the namespace itself, and the kinds from the folder crds
        if each["kind"] not in {"Namespace", "CustomResourceDefinition"}
    }


def without_empty(value):
    """What is empty, such as a list of tolerations, is to Kubernetes as if it were not there."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ([], {}, "")}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")


@needs_kubectl
@pytest.mark.parametrize(
    ("folders", "values"),
    [
        (["."], {}),
        (["overlays/one-namespace"], {"oneNamespace": True}),
        ([".", "webhook"], {"webhook": {**defaults()["webhook"], "enabled": True}}),
    ],
    ids=["as it is", "one namespace", "with the webhook"],
)
def test_the_chart_installs_what_kustomize_installs(folders, values):
    wanted = {}
    for folder in folders:
        wanted |= kustomized(folder)
    assert without_empty(rendered(**values)) == without_empty(wanted)


def test_everything_is_in_the_namespace_of_the_release():
    made = rendered(namespace="1234", webhook={**defaults()["webhook"], "enabled": True})
    assert {each["metadata"].get("namespace", "1234") for each in made.values()} == {"1234"}
    assert not re.search(r"namespace: tandem\b", yaml.safe_dump(list(made.values())))


def test_the_values_reach_the_pods():
    own = {
        "image": "registry.example/tandem@sha256:0123",
        "replicas": 3,
        "imagePullSecrets": [{"name": "registry"}],
        "tolerations": [{"key": "backup", "operator": "Exists"}],
        "nodeSelector": {"disk": "ssd"},
        "priorityClassName": "high",
        "resources": {"limits": {"memory": "1Gi"}},
    }
    made = rendered(**own, webhook={"enabled": True, "replicas": 1, "resources": {}})
    found = made["Deployment", "tandem-operator"]["spec"]
    pod = found["template"]["spec"]
    assert found["replicas"] == 3
    assert {key: pod[key] for key in own if key in pod} == {
        key: own[key] for key in ("imagePullSecrets", "tolerations", "nodeSelector")
    } | {"priorityClassName": "high"}
    assert pod["containers"][0]["resources"] == own["resources"]
    webhook = made["Deployment", "tandem-webhook"]["spec"]
    assert webhook["replicas"] == 1
    for each in (pod, webhook["template"]["spec"]):
        assert each["containers"][0]["image"] == own["image"]


def test_the_kinds_are_those_of_this_version_and_not_a_copy():
    assert (CHART / "crds").resolve() == ROOT / "crds"


def schema():
    return jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text()))


def test_the_defaults_are_valid():
    schema().validate(defaults())


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 2},
        {"replicas": 0},
        {"image": {"repository": "tandem"}},
        {"webhook": {"enable": True}},
        {"imagePullSecrets": ["registry"]},
    ],
)
def test_a_value_that_would_be_ignored_is_refused(wrong):
    assert not schema().is_valid({**defaults(), **wrong})
