"""Nothing is applied that is already so; whatever is not so is seen.

The live objects are what Kubernetes 1.20.2 made of such applies, and (where it differs) the form of
newer servers.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from reconciler.engine.ownership import is_applied

CONTAINER: dict[str, Any] = {
    "name": "c",
    "image": "i",
    "args": ["a", "b"],
    "ports": [{"containerPort": 80}],
    "resources": {"limits": {"cpu": "1000m", "memory": "0.5Gi"}},
    "env": [
        {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "Y", "value": "1000m"},
    ],
    "volumeMounts": [{"name": "v", "mountPath": "/a"}],
}
DESIRED: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {
        "name": "d",
        "namespace": "n",
        "labels": {"app": "d"},
        "finalizers": ["f"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "o", "uid": "u1"}],
    },
    "spec": {
        "template": {
            "metadata": {"creationTimestamp": None},
            "spec": {
                "containers": [CONTAINER],
                "tolerations": [{"key": "a", "operator": "Exists"}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
        },
    },
}
OWNED: dict[str, Any] = {
    "f:metadata": {
        "f:labels": {"f:app": {}},
        "f:finalizers": {'v:"f"': {}},
        "f:ownerReferences": {
            'k:{"uid":"u1"}': {
                ".": {},
                "f:apiVersion": {},
                "f:kind": {},
                "f:name": {},
                "f:uid": {},
            }
        },
    },
    "f:spec": {
        "f:template": {
            "f:metadata": {"f:creationTimestamp": {}},
            "f:spec": {
                "f:containers": {
                    'k:{"name":"c"}': {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:args": {},
                        "f:ports": {
                            'k:{"containerPort":80,"protocol":"TCP"}': {
                                ".": {},
                                "f:containerPort": {},
                            }
                        },
                        "f:resources": {"f:limits": {"f:cpu": {}, "f:memory": {}}},
                        "f:env": {
                            'k:{"name":"X"}': {
                                ".": {},
                                "f:name": {},
                                "f:valueFrom": {"f:fieldRef": {"f:fieldPath": {}}},
                            },
                            'k:{"name":"Y"}': {".": {}, "f:name": {}, "f:value": {}},
                        },
                        "f:volumeMounts": {
                            'k:{"mountPath":"/a"}': {".": {}, "f:mountPath": {}, "f:name": {}}
                        },
                    }
                },
                "f:tolerations": {},
                "f:volumes": {'k:{"name":"v"}': {".": {}, "f:name": {}}},
            },
        }
    },
}


def live_object() -> dict[str, Any]:
    live = copy.deepcopy(DESIRED)
    live["metadata"] |= {
        "uid": "u",
        "resourceVersion": "7",
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "managedFields": [
            {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:spec": {}}},
            {"manager": "tandem", "operation": "Apply", "fieldsV1": copy.deepcopy(OWNED)},
        ],
    }
    spec = live["spec"]["template"]["spec"]
    container = spec["containers"][0]
    container["imagePullPolicy"] = "Always"
    container["ports"][0]["protocol"] = "TCP"
    container["resources"]["limits"] = {"cpu": "1", "memory": "512Mi"}
    container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] = "v1"
    spec["containers"].insert(0, {"name": "another's", "image": "x"})
    spec["restartPolicy"] = "Always"
    live["spec"]["replicas"] = 3
    live["status"] = {"replicas": 3}
    return live


def template(obj: dict[str, Any]) -> dict[str, Any]:
    return obj["spec"]["template"]["spec"]  # type: ignore[no-any-return]


def test_an_object_as_the_server_made_it_needs_no_apply() -> None:
    assert is_applied(DESIRED, live_object(), "tandem")


def test_atomic_structures_as_newer_servers_list_them_need_no_apply() -> None:
    live = live_object()
    owned = live["metadata"]["managedFields"][1]["fieldsV1"]
    owned["f:metadata"]["f:ownerReferences"] = {'k:{"uid":"u1"}': {}}
    container = owned["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"c"}']
    container["f:env"]['k:{"name":"X"}']["f:valueFrom"] = {"f:fieldRef": {}}
    owned["f:spec"]["f:template"]["f:spec"]["f:volumes"]['k:{"name":"v"}']["f:emptyDir"] = {}
    assert is_applied(DESIRED, live, "tandem")


def test_what_was_never_applied_needs_it() -> None:
    live = live_object()
    live["metadata"]["managedFields"].pop()
    assert not is_applied(DESIRED, live, "tandem")
    assert not is_applied(DESIRED, live_object(), "somebody")


def test_an_update_under_our_name_is_not_an_apply() -> None:
    live = live_object()
    live["metadata"]["managedFields"][1]["operation"] = "Update"
    assert not is_applied(DESIRED, live, "tandem")


def change_image(live: dict[str, Any]) -> None:
    template(live)["containers"][1]["image"] = "other"


def change_argument(live: dict[str, Any]) -> None:
    template(live)["containers"][1]["args"] = ["a"]


def remove_container(live: dict[str, Any]) -> None:
    template(live)["containers"].pop()


def change_variable(live: dict[str, Any]) -> None:
    """Not a quantity, though it looks like one."""
    template(live)["containers"][1]["env"][1]["value"] = "1"


def change_limit(live: dict[str, Any]) -> None:
    template(live)["containers"][1]["resources"]["limits"]["cpu"] = "2"


def change_toleration(live: dict[str, Any]) -> None:
    template(live)["tolerations"][0]["effect"] = "NoSchedule"


def remove_finalizer(live: dict[str, Any]) -> None:
    live["metadata"]["finalizers"] = ["another"]


def change_label(live: dict[str, Any]) -> None:
    live["metadata"]["labels"]["app"] = "x"


@pytest.mark.parametrize(
    "change",
    [
        change_image,
        change_argument,
        remove_container,
        change_variable,
        change_limit,
        change_toleration,
        remove_finalizer,
        change_label,
    ],
)
def test_a_wanted_value_that_somebody_changed_is_applied_again(change: Any) -> None:
    live = live_object()
    change(live)
    assert not is_applied(DESIRED, live, "tandem")


def test_what_others_own_may_change() -> None:
    live = live_object()
    live["spec"]["replicas"] = 5
    template(live)["containers"][0]["image"] = "y"
    live["metadata"]["labels"]["theirs"] = "z"
    assert is_applied(DESIRED, live, "tandem")


def without_label(desired: dict[str, Any]) -> None:
    del desired["metadata"]["labels"]


def without_variable(desired: dict[str, Any]) -> None:
    template(desired)["containers"][0]["env"].pop()


def without_container(desired: dict[str, Any]) -> None:
    template(desired)["containers"].clear()


def without_finalizer(desired: dict[str, Any]) -> None:
    del desired["metadata"]["finalizers"]


def with_another_image(desired: dict[str, Any]) -> None:
    template(desired)["containers"][0]["image"] = "j"


def with_another_label(desired: dict[str, Any]) -> None:
    desired["metadata"]["labels"]["more"] = "1"


def with_another_volume(desired: dict[str, Any]) -> None:
    template(desired)["volumes"].append({"name": "w", "secret": {"secretName": "s"}})


@pytest.mark.parametrize(
    "change",
    [
        without_label,
        without_variable,
        without_container,
        without_finalizer,
        with_another_image,
        with_another_label,
        with_another_volume,
    ],
)
def test_a_change_of_what_we_want_is_applied(change: Any) -> None:
    desired = copy.deepcopy(DESIRED)
    change(desired)
    assert not is_applied(desired, live_object(), "tandem")


def test_a_wanted_value_that_another_manager_took_over_is_applied_again() -> None:
    live = live_object()
    del live["metadata"]["managedFields"][1]["fieldsV1"]["f:metadata"]["f:labels"]
    assert not is_applied(DESIRED, live, "tandem")


@pytest.mark.parametrize(
    ("wanted", "there"),
    [("1000m", "1"), (1, "1"), ("0.5Gi", "512Mi"), ("1024Ki", "1Mi"), ("1e3", "1k")],
)
def test_quantities_are_compared_by_their_value(wanted: object, there: str) -> None:
    desired, live = copy.deepcopy(DESIRED), live_object()
    template(desired)["containers"][0]["resources"]["limits"]["memory"] = wanted
    template(live)["containers"][1]["resources"]["limits"]["memory"] = there
    assert is_applied(desired, live, "tandem")
