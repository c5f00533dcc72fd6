"""The Helm chart in ``deploy/chart/``: the objects of ``deploy/base`` with a few values in them.

Called by ``deployment``, which writes the files. The templates say nothing that kustomize does not:
a test renders them with the defaults and compares. Every expression is ``toJson`` of one value, for
JSON is YAML on one line: no indentation can go wrong, and nothing a user writes breaks out of it.
"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from reconciler.api.resources import JsonObject
from reconciler.manifests import access, installation, webhook

FOLDER: Final = "deploy/chart"
_SETUP: Final = Path(__file__).parents[2] / "setup.cfg"
_PLACE: Final = re.compile(r"'?⟦(.+?)⟧'?")
_ONE_NAMESPACE: Final = "⟦one namespace⟧"
_ONE_NAMESPACE_ARGUMENT: Final = """\
        {{- if .Values.oneNamespace }}
        - --namespace=$(POD_NAMESPACE)
        {{- end }}
"""
_NAMESPACE: Final = "⟦toJson .Release.Namespace⟧"
_POD_FIELDS: Final = ("imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName")


def render() -> Mapping[str, str]:
    """The text of each file, by its path in the repository."""
    files = {
        "Chart.yaml": _chart(),
        "values.yaml": _values(),
        "values.schema.json": json.dumps(_SCHEMA, indent=2) + "\n",
        "templates/roles.yaml": _templates(*_roles()),
        "templates/account.yaml": _account(),
        "templates/operator.yaml": _templates(
            _operator(),
            installation.disruption_budget(),
            installation.metrics_service(),
        ),
        "templates/webhook.yaml": _if(".Values.webhook.enabled", _webhook()),
    }
    return {f"{FOLDER}/{name}": text for name, text in files.items()}


def _roles() -> tuple[JsonObject, ...]:
    own = access.own_role(installation.NAMESPACE)
    return (*access.CLUSTER_ROLES, access.OPERATOR_CATALOG_ROLE, own)


def _account() -> str:
    always = (
        installation.service_account(),
        installation.catalog_binding(),
        installation.own_binding(),
    )
    one = _templates(installation.namespace_binding())
    every = _templates(installation.cluster_binding())
    return _templates(*always) + _if(".Values.oneNamespace", one, otherwise=every)


def _operator() -> JsonObject:
    made = _with_values(installation.deployment(), "")
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["args"] = [*container["args"], _ONE_NAMESPACE]
    return made


def _webhook() -> str:
    objects = [
        _with_values(each, "webhook.") if each["kind"] == "Deployment" else each
        for each in webhook.objects()
    ]
    roles = [{**head, "rules": [rule for _, rule in rules]} for head, rules in webhook.roles()]
    return _templates(*objects, *roles)


def _with_values(deployment: JsonObject, own: str) -> JsonObject:
    """The Deployment with the values of users in it; ``own`` leads to those of its own."""
    spec = deployment["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    container = {
        **container,
        "image": _value("image"),
        "resources": _value(f"{own}resources"),
    }
    pod = {**pod, "containers": [container], **{key: _value(key) for key in _POD_FIELDS}}
    template = {**spec["template"], "spec": pod}
    replicas = _value(f"{own}replicas")
    return {**deployment, "spec": {**spec, "replicas": replicas, "template": template}}


def _value(path: str) -> str:
    return f"⟦toJson .Values.{path}⟧"


def _templates(*objects: JsonObject) -> str:
    return "".join(_template(_of_the_release(each)) for each in objects)


def _of_the_release(value: Any) -> Any:
    """The same with the release's namespace wherever it names that of the operator."""
    if isinstance(value, Mapping):
        return {
            key: _NAMESPACE
            if key == "namespace" and item == installation.NAMESPACE
            else _of_the_release(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_of_the_release(item) for item in value]
    return value


def _template(obj: JsonObject) -> str:
    text = yaml.safe_dump(obj, sort_keys=False, allow_unicode=True, width=1000)
    lines = [
        _ONE_NAMESPACE_ARGUMENT if _ONE_NAMESPACE in line else line
        for line in text.splitlines(keepends=True)
    ]
    return "---\n" + _PLACE.sub(r"{{ \1 }}", "".join(lines))


def _if(condition: str, text: str, *, otherwise: str = "") -> str:
    other = "{{- else }}\n" + otherwise if otherwise else ""
    return f"{{{{- if {condition} }}}}\n{text}{other}{{{{- end }}}}\n"


def version() -> str:
    """Of the package, which is that of the image."""
    setup = configparser.ConfigParser()
    setup.read(_SETUP)
    return setup["metadata"]["version"]


def _chart() -> str:
    return f"""\
apiVersion: v2
name: tandem
description: Batch backup for Kubernetes
type: application
version: {version()}
appVersion: "{version()}"
# PodDisruptionBudgets are in policy/v1 since then; for 1.20 see deploy/overlays/kubernetes-1.20
kubeVersion: ">=1.21.0-0"
"""


def _values() -> str:
    return f"""\
# The one image of operator, webhook, sidecars and Jobs; a digest is fine too.
image: {installation.IMAGE}:{version()}
# For pulling it in the namespace of the release. Sidecars and Jobs are pulled in the namespaces of
# their batches: see runtimeSettings.pod.imagePullSecrets.
imagePullSecrets: []
# One leads, the others wait.
replicas: {installation.REPLICAS}
resources: {json.dumps(installation.RESOURCES)}
nodeSelector: {{}}
tolerations: []
priorityClassName: ""
# Look after the batches of the release's namespace only, without rights in any other.
oneNamespace: false
webhook:
  # Refuse bad objects before they are stored: see docs/webhook.md.
  enabled: false
  replicas: {webhook.REPLICAS}
  resources: {json.dumps(_webhook_resources())}
"""


def _webhook_resources() -> JsonObject:
    (found,) = [each for each in webhook.objects() if each["kind"] == "Deployment"]
    (container,) = found["spec"]["template"]["spec"]["containers"]
    resources: JsonObject = container["resources"]
    return resources


def _object(**properties: JsonObject) -> JsonObject:
    return {"type": "object", "additionalProperties": False, "properties": properties}


_ANY: Final = {"type": "object"}
_COUNT: Final = {"type": "integer", "minimum": 1}
_SCHEMA: Final = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    **_object(
        image={"type": "string", "minLength": 1},
        imagePullSecrets={"type": "array", "items": _object(name={"type": "string"})},
        replicas=_COUNT,
        resources=_ANY,
        nodeSelector=_ANY,
        tolerations={"type": "array", "items": _ANY},
        priorityClassName={"type": "string"},
        oneNamespace={"type": "boolean"},
        webhook=_object(enabled={"type": "boolean"}, replicas=_COUNT, resources=_ANY),
        # Helm's own
        **{"global": _ANY},
    ),
}
"""A misspelt value is refused, and not ignored."""
