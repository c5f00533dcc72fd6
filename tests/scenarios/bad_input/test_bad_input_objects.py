"""Objects that are wrong or missing: targets, schedules, manifests, rivals."""

from __future__ import annotations

import subprocess
import sys


def test_a_missing_target_fails_alone_and_one_that_comes_is_backed_up(case):
    case.set_up("deploy/web", "pvc/files")
    case.apply(case.batch("deploy/web", "deploy/gone", "pvc/files", "pvc/lost"))
    place = case.name
    for target, what in (
        ("gone", f"Deployment {place}/gone"), ("lost", f"PersistentVolumeClaim {place}/lost")
    ):  # fmt: skip
        found = case.member_condition("shop", target, "BackupTargetFound", "False")
        assert (found["reason"], found["message"]) == (
            "TargetNotAvailable",
            f"{what} does not exist; create it, or take the member out of the spec.",
        )
    case.ready()
    session = case.backed_up()
    assert case.phases(session) == {
        "web": "Succeeded", "gone": "Failed", "files": "Succeeded", "lost": "Failed",
    }  # fmt: skip
    assert case.told(session, "gone") == (
        "TargetNotFound",
        f"Host deploy-gone: TargetNotFound: Deployment {place}/gone does not exist; create it.",
    )
    lost = f"PersistentVolumeClaim {place}/lost does not exist; create it."
    assert case.told(session, "lost") == (
        "TargetNotFound",
        f"Host pvc-lost: TargetNotFound: {lost}",
    )
    assert case.snapshots() == ["deploy-web", "pvc-files"]
    case.apply(case.deployment("gone"), case.claim("lost"))
    case.member_condition("shop", "gone", "BackupTargetFound", "True")
    case.member_condition("shop", "gone", "StashSidecarInjected", "True")
    assert case.backed_up()["phase"] == "Succeeded"
    assert set(case.snapshots()) == {"deploy-web", "deploy-gone", "pvc-files", "pvc-lost"}


def test_an_invalid_schedule_is_named_and_a_corrected_one_is_used(case):
    case.set_up("deploy/web")
    case.apply(case.deployment("pages"), case.batch("deploy/pages", name="wiki"))
    case.apply(case.batch("deploy/pages", name="wiki", schedule="61 * * * *"))
    found = case.condition("BackupBatch", "wiki", "Valid", "False")
    message = (
        "spec.schedule: is not a schedule: minute '61' is outside 0 to 59 (found '61 * * * *'); "
        "write numbers from 0 to 59, ranges such as 0-59, or */2"
    )
    assert (found["reason"], found["message"]) == ("InvalidSpec", message)
    session = case.backed_up("wiki")
    assert session["phase"] == "Skipped"
    assert session["conditions"][0]["message"] == (
        f"BackupBatch {case.name}/wiki is not valid: {message}"
    )
    assert case.backed_up("shop")["phase"] == "Succeeded"
    assert case.snapshots() == ["host-0"]
    case.patch("BackupBatch", "wiki", schedule="0 3 * * *")
    case.condition("BackupBatch", "wiki", "Valid", "True")
    assert case.backed_up("wiki")["phase"] == "Succeeded"
    assert case.get("CronJob", "stash-backup-wiki")["spec"]["schedule"] == "0 3 * * *"


MISSPELT = """
apiVersion: stash.appscode.com/v1beta1
kind: BackupBatch
metadata: {name: shop, namespace: default}
spec:
  schedul: "0 3 * * *"
  schedule: "0 3 * * *"
  repository: {name: repo}
  executionOrder: Parallell
  retentionPolicy: {name: keep, keepLast: five, prune: true}
  members:
  - target:
      ref: {apiVersion: apps/v1, kind: Deployment, name: web}
      path: [/data]
"""


def test_plan_tells_every_fault_of_a_manifest_with_the_nearest_known_key(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(MISSPELT)
    command = [sys.executable, "-m", "reconciler.cli.main", "plan", "--empty", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    where = f"error: {file}: BackupBatch default/shop:"
    assert done.stderr.splitlines() == [
        f"{where} spec.members[0].target.path: is not a known key; did you mean paths?",
        f"{where} spec.retentionPolicy.keepLast: must be an integer, not str (found 'five')",
        (
            f"{where} spec.executionOrder: is not a known value (found 'Parallell'); "
            "did you mean Parallel? It must be one of Parallel, Sequential"
        ),
        f"{where} spec.schedul: is not a known key; did you mean schedule?",
    ]


def test_the_api_server_refuses_what_the_schema_knows(estate, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(MISSPELT)

    def create(validate):
        command = ["kubectl", "--kubeconfig", str(estate.cluster.kubeconfig), "create", "-f"]
        command += [str(file), f"--validate={validate}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr

    assert create("strict") == (
        f'Error from server (BadRequest): error when creating "{file}": BackupBatch in version '
        '"v1beta1" cannot be handled as a BackupBatch: strict decoding error: unknown field '
        '"spec.members[0].target.path", unknown field "spec.schedul"\n'
    )
    assert create("ignore") == (
        'The BackupBatch "shop" is invalid: \n'
        '* spec.executionOrder: Unsupported value: "Parallell": supported values: "Parallel", '
        '"Sequential"\n'
        '* spec.retentionPolicy.keepLast: Invalid value: "string": spec.retentionPolicy.keepLast '
        'in body must be of type integer: "string"\n'
    )


def test_a_manifest_that_only_the_operator_can_judge_is_told_and_a_mended_one_is_used(case):
    """The schema knows no paths that a sidecar needs, and prunes a misspelt key in silence."""
    case.set_up("deploy/web")
    case.apply(case.deployment("pages"))
    wrong = case.member("deploy/pages")
    wrong["target"]["path"] = wrong["target"].pop("paths")
    case.create(case.batch(name="wiki", members=[wrong]))
    found = case.condition("BackupBatch", "wiki", "Valid", "False")
    message = "spec.members[0].target.paths: is empty; name the folders to back up"
    assert (found["reason"], found["message"]) == ("InvalidSpec", message)
    assert case.backed_up("wiki")["conditions"][0]["message"] == (
        f"BackupBatch {case.name}/wiki is not valid: {message}"
    )
    assert case.backed_up("shop")["phase"] == "Succeeded"
    assert case.snapshots() == ["host-0"]
    case.apply(case.batch("deploy/pages", name="wiki"))
    case.condition("BackupBatch", "wiki", "Valid", "True")
    assert case.backed_up("wiki")["phase"] == "Succeeded"


def test_of_two_batches_on_one_workload_the_older_keeps_it(case):
    case.set_up("deploy/web", "pvc/files")
    case.ready()
    case.apply(case.batch("deploy/web", "pvc/files", name="wiki"))
    message = (
        f"Deployment {case.name}/web already has the sidecar of BackupBatch {case.name}/shop; "
        "take the target out of one of the two."
    )
    found = case.member_condition("wiki", "web", "StashSidecarInjected", "False")
    assert (found["reason"], found["message"]) == ("SidecarInjectionFailed", message)
    session = case.backed_up("wiki")
    assert case.phases(session) == {"web": "Failed", "files": "Succeeded"}
    assert case.told(session, "web") == (
        "SidecarInjectionFailed", f"Host deploy-web: SidecarInjectionFailed: {message}"
    )  # fmt: skip
    assert case.backed_up("shop")["phase"] == "Succeeded"
    assert case.snapshots() == ["deploy-web", "pvc-files", "pvc-files"]
    case.delete("BackupBatch", "shop")
    case.member_condition("wiki", "web", "StashSidecarInjected", "True")
    assert case.backed_up("wiki")["phase"] == "Succeeded"
