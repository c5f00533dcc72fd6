"""The operator's cache keeps what decisions need, and no secret."""

from __future__ import annotations

import copy
from typing import Any

from reconciler.api.resources import DEPLOYMENTS, PODS, SECRETS
from reconciler.cluster import trimming

TRIM = trimming.for_manager("tandem")


def test_secret_values_are_never_kept_but_their_names_and_version_are() -> None:
    secret: dict[str, Any] = {
        "metadata": {"name": "s", "resourceVersion": "7"},
        "data": {"RESTIC_PASSWORD": "Y2FuYXJ5"},
        "stringData": {"AWS_SECRET_ACCESS_KEY": "canary"},
        "type": "Opaque",
    }
    kept = TRIM(SECRETS, secret)
    assert "canary" not in str(kept)
    assert "Y2FuYXJ5" not in str(kept)
    assert kept["data"] == {"RESTIC_PASSWORD": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert kept["metadata"]["resourceVersion"] == "7"


def test_a_secret_in_the_last_applied_annotation_is_not_kept_either() -> None:
    annotations = {trimming.LAST_APPLIED: '{"data": "canary"}', "theirs": "1"}
    kept = TRIM(SECRETS, {"metadata": {"name": "s", "annotations": annotations}})
    assert kept["metadata"]["annotations"] == {"theirs": "1"}


def test_only_our_own_managed_fields_are_kept() -> None:
    entries = [{"manager": "kubectl"}, {"manager": "tandem", "operation": "Apply"}]
    kept = TRIM(DEPLOYMENTS, {"metadata": {"name": "d", "managedFields": entries}, "spec": {}})
    assert kept["metadata"]["managedFields"] == [{"manager": "tandem", "operation": "Apply"}]


def test_a_pod_keeps_what_says_where_and_how_it_runs() -> None:
    pod: dict[str, Any] = {
        "metadata": {"name": "p", "labels": {"a": "b"}},
        "spec": {
            "nodeName": "node",
            "serviceAccountName": "sa",
            "schedulerName": "default",
            "containers": [{"name": "c", "image": "i", "env": [{"name": "X", "value": "canary"}]}],
            "volumes": [
                {"name": "v", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "w", "emptyDir": {}},
            ],
        },
        "status": {
            "phase": "Running",
            "qosClass": "BestEffort",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "c", "ready": True}],
        },
    }
    before = copy.deepcopy(pod)
    kept = TRIM(PODS, pod)
    assert pod == before, "the object given is shared with others"
    assert kept["spec"] == {
        "nodeName": "node",
        "serviceAccountName": "sa",
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}],
    }
    assert kept["status"] == {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "c", "ready": True}],
    }
