"""The driver VolumeSnapshotter: operator, agent and a stand-in for a CSI driver, together."""

from __future__ import annotations

import pytest
from volume_snapshots import definition

from reconciler.api import resources as r

POLICY = {"name": "last-2", "keepLast": 2, "prune": True}


@pytest.fixture
def disks(shop, manifests):
    """A StatefulSet of two replicas with a claim each, and a claim of its own."""
    shop.client.create(r.CUSTOM_RESOURCE_DEFINITIONS, definition())
    shop.apply(manifests.claim("uploads"))
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
        },
    }
    database = manifests.workload("StatefulSet", "db", replicas=2)
    database["spec"]["volumeClaimTemplates"] = [claim]
    shop.apply(database)
    shop.cluster.settle()
    return shop


def snapped(shop, manifests, **spec):
    members = [("PersistentVolumeClaim", "uploads", "v1"), ("StatefulSet", "db", "apps/v1")]
    batch = manifests.batch(
        *(
            {"target": {"ref": {"apiVersion": api, "kind": kind, "name": name}}}
            for kind, name, api in members
        ),
        driver="VolumeSnapshotter",
        retentionPolicy=POLICY,
        **spec,
    )
    del batch["spec"]["repository"]
    shop.apply(batch)
    shop.cluster.settle()


def snapshots(shop):
    return sorted(s["metadata"]["name"] for s in shop.client.list(r.VOLUME_SNAPSHOTS).items)


def test_a_slot_snapshots_every_claim_without_sidecar_and_repository(disks, manifests):
    before = disks.get("StatefulSet", "db")["metadata"]["generation"]
    snapped(disks, manifests)
    disks.run_to(3, 5)
    (name,) = disks.sessions()
    assert disks.sessions() == {name: "Succeeded"}, disks.session(name)
    slot = name.rpartition("-")[2]
    claims = ("data-db-0", "data-db-1", "uploads")
    assert snapshots(disks) == [f"{claim}-{slot}" for claim in claims]
    stats = {s["hostname"]: s for s in disks.target(name, "db")["stats"]}
    assert stats["data-db-1"]["snapshots"] == [{"name": f"data-db-1-{slot}", "totalSize": "2Gi"}]
    assert disks.get("StatefulSet", "db")["metadata"]["generation"] == before
    assert disks.get("BackupBatch", "web")["status"]["phase"] == "Succeeded"
    assert not [j for j in disks.all("Job") if "maintain" in j["metadata"]["name"]]


def test_of_each_claim_as_many_snapshots_stay_as_the_policy_says(disks, manifests):
    snapped(disks, manifests, schedule="*/10 * * * *")
    disks.run(hours=1)
    assert len(snapshots(disks)) == 2 * 3
    assert set(disks.sessions().values()) == {"Succeeded"}


def test_a_claim_whose_snapshot_fails_fails_its_target_alone_and_is_retried(disks, manifests):
    snapped(
        disks,
        manifests,
        timeOut="10m",
        executionOrder="Sequential",  # an agent that waits stops the world of this test
        retryConfig={"maxRetry": 1, "delay": "1m"},
        backupHistoryLimit=5,
    )
    disks.data.driver.broken = {"data-db-1"}
    disks.run_to(3, 11)
    (first,) = disks.sessions()
    assert disks.phases(first) == {"db": "Failed", "uploads": "Succeeded"}
    assert "the array is on fire" in disks.target(first, "db")["message"]
    disks.data.driver.broken = set()
    disks.run_to(3, 20)
    assert disks.sessions() == {first: "Failed", f"{first}-retry-1": "Succeeded"}


def test_snapshots_outlive_their_sessions_and_their_batch(disks, manifests):
    snapped(disks, manifests)
    disks.run_to(3, 5)
    made = snapshots(disks)
    disks.delete("BackupBatch", "web")
    disks.run(minutes=10)
    assert disks.find("BackupBatch", "web") is None
    assert disks.sessions() == {}
    assert snapshots(disks) == made


def test_claims_are_made_anew_of_the_snapshots(disks, manifests):
    snapped(disks, manifests)
    disks.run_to(3, 5)
    slot = next(iter(disks.sessions())).rpartition("-")[2]
    source = {
        "apiGroup": "snapshot.storage.k8s.io",
        "kind": "VolumeSnapshot",
        "name": f"data-db-${{POD_ORDINAL}}-{slot}",
    }
    template = {
        "metadata": {"name": "copy-${POD_ORDINAL}"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2Gi"}},
            "dataSource": source,
        },
    }
    disks.apply(
        {
            "apiVersion": r.RESTORE_SESSIONS.api_version,
            "kind": "RestoreSession",
            "metadata": {"name": "again", "namespace": "shop"},
            "spec": {
                "driver": "VolumeSnapshotter",
                "target": {"replicas": 3, "volumeClaimTemplates": [template]},
            },
        }
    )
    disks.run(minutes=10)
    status = disks.get("RestoreSession", "again")["status"]
    stats = {stat["hostname"]: stat for stat in status["stats"]}
    assert [stats[f"copy-{n}"]["phase"] for n in range(3)] == ["Succeeded", "Succeeded", "Failed"]
    assert f"VolumeSnapshot shop/data-db-2-{slot} does not exist" in stats["copy-2"]["error"]
    assert disks.get("PersistentVolumeClaim", "copy-1")["spec"]["dataSource"]["name"] == (
        f"data-db-1-{slot}"
    )
    assert disks.find("PersistentVolumeClaim", "copy-2") is None
    assert status["phase"] == "Failed"
    disks.delete("RestoreSession", "again")
    disks.run(minutes=5)
    assert disks.find("RestoreSession", "again") is None
    assert disks.find("PersistentVolumeClaim", "copy-1"), "the claims are what it was for"
