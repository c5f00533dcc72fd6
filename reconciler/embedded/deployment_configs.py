"""OpenShift's DeploymentConfig as a CRD, for clusters that are not OpenShift.

For ``cli.rehearsal`` and tests. Nothing here rolls a DeploymentConfig out. The schema names only
the lists that several appliers share: in a list without keys, one applier would replace the
other's containers.
"""

from __future__ import annotations

from typing import Any

from reconciler.api.resources import CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENT_CONFIGS, JsonObject

_OPEN: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition() -> JsonObject:
    """The CustomResourceDefinition."""
    resource = DEPLOYMENT_CONFIGS
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": {
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "shortNames": ["dc"],
            },
            "versions": [
                {
                    "name": resource.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema()},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def _schema() -> JsonObject:
    container = _open(env=_keyed("name"), volumeMounts=_keyed("mountPath"))
    pod = _open(
        containers=_keyed("name", container),
        initContainers=_keyed("name", container),
        volumes=_keyed("name"),
    )
    return _open(spec=_open(template=_open(spec=pod)), status=_OPEN)


def _open(**properties: Any) -> JsonObject:
    return {**_OPEN, "properties": properties}


def _keyed(key: str, item: JsonObject = _OPEN) -> JsonObject:
    """A list of objects that are told apart by one of their fields."""
    named = {key: {"type": "string"}, **item.get("properties", {})}
    return {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
        "items": {**item, "properties": named, "required": [key]},
    }
