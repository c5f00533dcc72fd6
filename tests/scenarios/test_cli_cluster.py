"""The commands against a cluster: an embedded one over HTTP, with the operator at work."""

from __future__ import annotations

import json

import pytest
import yaml

from reconciler.api import resources as r
from reconciler.api.resources import (
    BACKUP_BATCHES,
    BACKUP_SESSIONS,
    CRON_JOBS,
    DEPLOYMENTS,
    RESTORE_BATCHES,
)
from reconciler.cli import operating
from reconciler.cli.demo import application
from reconciler.cli.main import execute
from reconciler.cluster.transport import Response
from reconciler.decisions.plan import Settings
from reconciler.embedded.cluster import EmbeddedCluster
from reconciler.engine.clock import SystemClock

APPLICATION = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: web, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, emptyDir: {}}]
---
apiVersion: v1
kind: Secret
metadata: {name: backend, namespace: shop}
stringData: {RESTIC_PASSWORD: canary-in-a-coal-mine}
---
apiVersion: stash.appscode.com/v1alpha1
kind: Repository
metadata: {name: repo, namespace: shop}
spec:
  backend:
    local: {mountPath: /backups, emptyDir: {}}
    storageSecretName: backend
---
apiVersion: stash.appscode.com/v1beta1
kind: BackupBatch
metadata: {name: web, namespace: shop}
spec:
  schedule: "0 3 * * *"
  repository: {name: repo}
  members:
  - target:
      ref: {apiVersion: apps/v1, kind: Deployment, name: web}
      paths: [/data]
      volumeMounts: [{name: data, mountPath: /data}]
  retentionPolicy: {name: keep, keepLast: 3, prune: true}
"""


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "app.yaml"
    path.write_text(APPLICATION)
    return str(path)


@pytest.fixture
def cluster(tmp_path):
    """The API server and its controllers over HTTP; the operator is stepped by ``settle``."""
    clock = SystemClock()
    with EmbeddedCluster(clock, None, tmp_path) as cluster:
        cluster.install_crds()
        yield cluster


def settle(cluster):
    """The operator works until nothing is left to do."""
    client = cluster.client()
    operating.install_builtins(client, Settings())
    operating.build(client, cluster.clock, Settings(), workers=1).settle()


def apply(cluster, text):
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    application.apply(cluster.client(), [space, *yaml.safe_load_all(text)])


def planned(capsys):
    return json.loads(capsys.readouterr().out)


def test_a_plan_for_an_empty_cluster_names_what_the_operator_would_do(manifest, capsys):
    assert execute(["plan", "-f", manifest, "--empty", "--output", "json"]) == 2

    changes = {
        (change["author"], change["action"], change["kind"])
        for change in planned(capsys)["changes"]
    }
    assert ("files", "create", "Deployment") in changes
    assert ("operator", "change", "Deployment") in changes
    assert ("operator", "create", "CronJob") in changes
    assert ("operator", "create", "Job") in changes


def test_a_plan_shows_the_sidecar_as_a_diff_of_the_workload(manifest, capsys):
    execute(["plan", "-f", manifest, "--empty"])

    text = capsys.readouterr().out
    assert "~ change Deployment shop/web  by the operator" in text
    assert "+        name: stash" in text


def test_a_plan_knows_deployment_configs_though_only_some_clusters_serve_them(tmp_path, capsys):
    text = APPLICATION.replace("apps/v1", r.DEPLOYMENT_CONFIGS.api_version)
    path = tmp_path / "app.yaml"
    path.write_text(text.replace("kind: Deployment", "kind: DeploymentConfig"))

    assert execute(["plan", "-f", str(path), "--empty"]) == 2

    text = capsys.readouterr().out
    assert "~ change DeploymentConfig shop/web  by the operator" in text
    assert "+        name: stash" in text
    assert not [line for line in text.splitlines() if line.strip().startswith("-  ")]


def test_a_plan_never_shows_the_value_of_a_secret(manifest, capsys):
    for output in ("text", "json"):
        execute(["plan", "-f", manifest, "--empty", "--output", output])

    said = capsys.readouterr()
    assert "canary" not in said.out + said.err
    assert "Y2FuYXJ5" not in said.out + said.err  # the same in base64


def test_a_plan_for_what_is_already_so_has_nothing_to_do(cluster, manifest, capsys):
    apply(cluster, APPLICATION)
    settle(cluster)

    arguments = ["plan", "-f", manifest, "--kubeconfig", str(cluster.kubeconfig)]
    assert execute(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_plan_against_a_cluster_shows_only_the_differences_and_applies_none(
    cluster, manifest, tmp_path, capsys
):
    apply(cluster, APPLICATION)
    settle(cluster)
    changed = tmp_path / "changed.yaml"
    changed.write_text(APPLICATION.replace("0 3 * * *", "0 4 * * *"))

    arguments = ["plan", "-f", str(changed), "--kubeconfig", str(cluster.kubeconfig)]
    assert execute([*arguments, "--output", "json"]) == 2

    changes = planned(capsys)["changes"]
    assert [(change["action"], change["kind"]) for change in changes] == [
        ("change", "BackupBatch"),
        ("change", "CronJob"),
    ]
    assert all("0 4 * * *" in change["diff"] for change in changes)
    [batch] = cluster.client().list(BACKUP_BATCHES, "shop").items
    [trigger] = cluster.client().list(CRON_JOBS, "shop").items
    assert batch["spec"]["schedule"] == trigger["spec"]["schedule"] == "0 3 * * *"


def test_a_plan_names_file_object_field_and_remedy_of_every_fault(tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        APPLICATION.replace("keepLast", "keepLst").replace('"0 3 * * *"', '"61 3 * * *"')
    )

    assert execute(["plan", "-f", str(bad), "--empty"]) == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {bad}, document 4: BackupBatch shop/web: ")
    assert "spec.retentionPolicy.keepLst" in line
    assert "did you mean keepLast?" in line


def test_wrong_usage_of_plan_is_never_taken_for_changes(capsys):
    assert execute(["plan", "--no-such-option"]) == 1
    assert "No such option" in capsys.readouterr().err


def test_a_manifest_that_the_operator_does_not_know_is_named_and_left_out(
    manifest, tmp_path, capsys
):
    other = tmp_path / "ingress.yaml"
    other.write_text("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\n")

    execute(["plan", "-f", manifest, "-f", str(other), "--empty", "--output", "json"])

    assert planned(capsys)["ignored"] == [f"{other}: Ingress i"]


def test_a_trigger_creates_one_session_by_hand(cluster, capsys):
    apply(cluster, APPLICATION)

    arguments = ["trigger", "web", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)]
    assert execute([*arguments, "--output", "json"]) == 0

    [session] = cluster.client().list(BACKUP_SESSIONS, "shop").items
    assert json.loads(capsys.readouterr().out)["name"] == session["metadata"]["name"]
    assert session["spec"]["invoker"]["name"] == "web"
    assert "annotations" not in session["metadata"]


def test_a_trigger_that_waits_too_long_says_where_to_look(cluster, capsys):
    apply(cluster, APPLICATION)

    arguments = ["trigger", "web", "-n", "shop", "--wait", "--timeout", "0s"]
    assert execute([*arguments, "--kubeconfig", str(cluster.kubeconfig)]) == 1

    assert "tandem status" in capsys.readouterr().err


def test_a_misspelt_batch_is_answered_with_the_nearest_name(cluster, capsys):
    apply(cluster, APPLICATION)

    arguments = ["status", "wep", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)]
    assert execute(arguments) == 1

    assert capsys.readouterr().err == ("error: BackupBatch shop/wep not found; did you mean web?\n")


def test_status_says_why_a_batch_waits(cluster, capsys):
    apply(cluster, APPLICATION)
    cluster.client().delete(DEPLOYMENTS, "shop", "web")
    settle(cluster)

    arguments = ["status", "web", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)]
    assert execute(arguments) == 0

    text = capsys.readouterr().out
    assert "✗ Deployment web: BackupTargetFound" in text
    assert "no session yet" in text


def test_status_without_a_name_shows_all_batches_and_restores(cluster, capsys):
    apply(cluster, APPLICATION)
    restore = {"apiVersion": RESTORE_BATCHES.api_version, "kind": "RestoreBatch"}
    restore |= {"metadata": {"name": "back", "namespace": "shop"}}
    restore |= {"spec": {"repository": {"name": "repo"}, "members": []}}
    cluster.client().create(RESTORE_BATCHES, restore)

    assert execute(["status", "-A", "--kubeconfig", str(cluster.kubeconfig), "-o", "yaml"]) == 0
    found = yaml.safe_load(capsys.readouterr().out)
    assert [(line["namespace"], line["name"]) for line in found["batches"]] == [("shop", "web")]
    assert [(line["name"], line["phase"]) for line in found["restores"]] == [("back", "Pending")]

    assert execute(["status", "-n", "other", "--kubeconfig", str(cluster.kubeconfig)]) == 0
    assert "no batch and no restore" in capsys.readouterr().out
    assert execute(["status", "web", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)]) == 0
    assert "RestoreBatch back  Pending" in capsys.readouterr().out


def test_status_of_one_batch_in_all_namespaces_is_wrong_usage(cluster, capsys):
    assert execute(["status", "web", "-A", "--kubeconfig", str(cluster.kubeconfig)]) == 2
    assert "leave out either" in capsys.readouterr().err


def test_the_namespace_of_the_context_is_the_default(cluster, tmp_path, capsys):
    apply(cluster, APPLICATION)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    place = {**config["contexts"][0]["context"], "namespace": "shop"}
    config["contexts"].append({"name": "shop", "context": place})
    other = tmp_path / "contexts"
    other.write_text(yaml.safe_dump(config))

    assert execute(["status", "web", "--kubeconfig", str(other), "--context", "shop"]) == 0
    assert execute(["status", "web", "--kubeconfig", str(other)]) == 1
    assert "BackupBatch default/web not found" in capsys.readouterr().err


def test_pause_and_resume_hold_the_schedule_and_let_it_go(cluster, capsys):
    apply(cluster, APPLICATION)
    settle(cluster)
    place = ["-n", "shop", "--kubeconfig", str(cluster.kubeconfig)]

    def suspended():
        settle(cluster)
        [trigger] = cluster.client().list(CRON_JOBS, "shop").items
        return trigger["spec"]["suspend"]

    assert execute(["pause", "web", *place]) == 0
    assert suspended()
    assert execute(["pause", "web", *place]) == 0
    assert execute(["resume", "web", *place, "-o", "json"]) == 0
    assert not suspended()
    told = capsys.readouterr().out
    assert "shop/web is paused" in told
    assert "shop/web is already paused" in told
    assert '"changed": true' in told


def test_a_cluster_without_tandems_kinds_says_how_to_install_them(tmp_path, capsys):
    with EmbeddedCluster(SystemClock(), None, tmp_path) as bare:
        for arguments in (["status"], ["status", "web"], ["pause", "web"]):
            assert execute([*arguments, "--kubeconfig", str(bare.kubeconfig)]) == 1
            assert "tandem crds | kubectl apply -f -" in capsys.readouterr().err


def test_a_missing_permission_is_told_with_how_to_look_for_it(cluster, capsys):
    def refuse(request, proceed):
        if "stash.appscode.com" in request.path:
            return Response(403, {"message": "backupbatches is forbidden: user eve cannot list"})
        return proceed(request)

    cluster.server.intercept(refuse)
    for arguments in (["status"], ["pause", "web"], ["explain", "batch/web"], ["logs", "web"]):
        assert execute([*arguments, "--kubeconfig", str(cluster.kubeconfig)]) == 1
        [line] = capsys.readouterr().err.splitlines()
        assert "user eve cannot" in line
        assert "kubectl auth can-i" in line


def test_a_kubeconfig_that_is_not_there_is_named(capsys):
    assert execute(["status", "web", "--kubeconfig", "absent.kubeconfig"]) == 1
    assert capsys.readouterr().err.startswith("error: absent.kubeconfig: no such file")


def test_a_cluster_that_does_not_answer_is_an_error_of_one_line(tmp_path, capsys):
    with EmbeddedCluster(SystemClock(), None, tmp_path) as cluster:
        kubeconfig = str(cluster.kubeconfig)

    assert execute(["status", "web", "--kubeconfig", kubeconfig]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "is the cluster up, and the kubeconfig right?" in line
