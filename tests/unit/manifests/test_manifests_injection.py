"""Several parts in one workload: one configuration, in which no claim is two volumes."""

from __future__ import annotations

from typing import Any

from reconciler.manifests import init_container, injection, sidecar


def part(slot: injection.Slot, volume: str, source: dict[str, Any]) -> injection.Part:
    container = {
        "name": slot.container,
        "volumeMounts": [
            {"name": volume, "mountPath": "/backups"},
            {"name": "t", "mountPath": "/t"},
        ],
    }
    pod = {slot.field: [container], "volumes": [{"name": volume, **source}]}
    return injection.Part(slot, "Kind/name", pod)


def claim(name: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name}}


def workload(*volumes: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
        "spec": {"template": {"spec": {"volumes": list(volumes)}}},
    }


def composed(obj: dict[str, Any], one: dict[str, Any], two: dict[str, Any]):
    """Names of the volumes, and where the sidecar and the init container find the repository."""
    first = part(sidecar.SLOT, "stash-local", one)
    second = part(init_container.SLOT, "stash-init-local", two)
    pod = injection.compose(obj, first, second)["spec"]["template"]["spec"]
    found = [pod[field][0]["volumeMounts"][0]["name"] for field in ("containers", "initContainers")]
    assert pod["containers"][0]["volumeMounts"][1] == {"name": "t", "mountPath": "/t"}
    assert first.pod["containers"][0]["volumeMounts"][0]["name"] == "stash-local"  # not changed
    return ([volume["name"] for volume in pod["volumes"]], *found)


def test_a_backup_and_a_restore_of_one_claim_share_its_volume() -> None:
    """A kubelet mounts one of two volumes of a claim, and the pod waits for the other for ever."""
    assert composed(workload(), claim("backups"), claim("backups")) == (
        ["stash-local"], "stash-local", "stash-local",
    )  # fmt: skip


def test_two_claims_and_other_volumes_stay_as_they_are() -> None:
    own = (["stash-local", "stash-init-local"], "stash-local", "stash-init-local")
    assert composed(workload(), claim("backups"), claim("others")) == own
    host = {"hostPath": {"path": "/b"}}
    assert composed(workload(), host, host) == own
    assert composed({**workload(), "spec": {"template": {}}}, host, claim("backups")) == own


def test_the_users_own_volume_of_the_claim_is_the_one() -> None:
    users = workload({"name": "mine", **claim("backups")})
    assert composed(users, claim("backups"), claim("backups")) == ([], "mine", "mine")


def test_a_volume_of_an_earlier_apply_is_no_users() -> None:
    """Else the sidecar would mount a volume that this very apply takes away."""
    earlier = workload({"name": "stash-init-local", **claim("backups")}, {"name": "x"})
    pod = injection.compose(earlier, part(sidecar.SLOT, "stash-local", claim("backups")))
    volumes = pod["spec"]["template"]["spec"]["volumes"]
    assert [volume["name"] for volume in volumes] == ["stash-local"]


def test_one_part_alone_may_share_the_users_volume() -> None:
    users = workload({"name": "mine", **claim("backups")})
    pod = injection.compose(users, part(sidecar.SLOT, "stash-local", claim("backups")))
    template = pod["spec"]["template"]["spec"]
    assert template["volumes"] == []
    assert template["containers"][0]["volumeMounts"][0]["name"] == "mine"
