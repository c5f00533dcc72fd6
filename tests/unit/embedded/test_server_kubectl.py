"""The stock kubectl against the embedded server: what people type works and shows the usual."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from reconciler.embedded.http import HttpServer
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock

Kubectl = Callable[..., str]
ROOT = pathlib.Path(__file__).parents[3]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: c, image: "nginx:1", env: [{name: A, value: "1"}], ports: [{containerPort: 80}]}
"""
BATCH = """
apiVersion: stash.appscode.com/v1beta1
kind: BackupBatch
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  repository: {name: repo}
  retentionPolicy: {name: keep, keepLast: 5, prune: true}
  members:
  - target: {ref: {apiVersion: apps/v1, kind: Deployment, name: web}, paths: [/data]}
"""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.fixture(scope="module")
def server() -> Server:
    return Server(SystemClock())


@pytest.fixture(scope="module")
def kubeconfig(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    http, path = HttpServer(server), tmp_path_factory.mktemp("kubectl") / "config"
    http.start()
    http.write_kubeconfig(path)
    yield path
    http.stop()


@pytest.fixture(scope="module")
def kubectl(kubeconfig: pathlib.Path) -> Kubectl:
    """Runs kubectl; a failure raises, with what it said."""

    def run(*args: str, stdin: str = "", fails: bool = False) -> str:
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig.parent}", *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "KUBE_EDITOR": "sed -i s/nginx:1/nginx:2/"},
        )
        assert (done.returncode != 0) is fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def web(kubectl: Kubectl) -> Iterator[None]:
    kubectl("apply", "-f", "-", stdin=DEPLOYMENT)
    yield
    kubectl("delete", "deployment", "web", "--ignore-not-found")


@pytest.fixture(scope="module")
def crds(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", str(ROOT / "crds"))


@pytest.mark.usefixtures("web")
def test_get_shows_the_usual_columns(kubectl: Kubectl) -> None:
    head, row = kubectl("get", "deploy", "-o", "wide").splitlines()
    assert head.split() == [
        "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE", "CONTAINERS", "IMAGES", "SELECTOR",
    ]  # fmt: skip
    assert row.split()[:4] + row.split()[5:] == ["web", "0/1", "0", "0", "c", "nginx:1", "app=web"]


@pytest.mark.usefixtures("web")
def test_apply_merges_what_changed_and_keeps_the_rest(kubectl: Kubectl) -> None:
    kubectl("scale", "deployment/web", "--replicas=3")
    changed = DEPLOYMENT.replace('name: A, value: "1"', 'name: B, value: "2"')
    assert "configured" in kubectl("apply", "-f", "-", stdin=changed)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=changed)
    path = "{.spec.replicas} {.spec.template.spec.containers[*].env[*].name}"
    assert kubectl("get", "deploy", "web", "-o", f"jsonpath={path}") == "3 B"


@pytest.mark.usefixtures("web")
def test_server_side_apply_tells_conflicts(kubectl: Kubectl) -> None:
    kubectl("set", "image", "deployment/web", "c=nginx:9")
    told = kubectl("apply", "--server-side", "-f", "-", stdin=DEPLOYMENT, fails=True)
    assert 'conflict with "kubectl-set" using apps/v1' in told
    assert '.spec.template.spec.containers[name="c"].image' in told
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=DEPLOYMENT)


@pytest.mark.usefixtures("web")
def test_a_misspelt_field_is_named(kubectl: Kubectl) -> None:
    wrong = DEPLOYMENT.replace("image:", "imag:")
    told = kubectl("apply", "-f", "-", stdin=wrong, fails=True)
    assert 'unknown field "spec.template.spec.containers[0].imag"' in told


@pytest.mark.usefixtures("web")
def test_edit_label_annotate_patch_and_describe(kubectl: Kubectl) -> None:
    kubectl("edit", "deployment", "web")
    kubectl("label", "deployment", "web", "tier=front")
    kubectl("annotate", "deployment", "web", "note=hello")
    kubectl("patch", "deployment", "web", "-p", '{"spec":{"paused":true}}')
    operation = '[{"op":"add","path":"/metadata/labels/x","value":"y"}]'
    kubectl("patch", "deployment", "web", "--type=json", "-p", operation)
    told = kubectl("describe", "deployment", "web")
    for text in ("nginx:2", "tier=front", "x=y", "note: hello"):
        assert text in told


def test_pods_are_run_logged_and_deleted(kubectl: Kubectl, server: Server) -> None:
    server.on_logs(
        lambda namespace, pod, container, follow: [f"log of {pod}/{container}\n".encode()]
    )
    override = '{"spec":{"nodeName":"n"}}'
    kubectl("run", "p", "--image=busybox", "--restart=Never", f"--overrides={override}")
    assert kubectl("logs", "p") == "log of p/p\n"
    assert kubectl("get", "pod", "-l", "run=p", "-o", "name") == "pod/p\n"
    kubectl("delete", "pod", "p", "--now", "--wait=false")
    assert kubectl("get", "pod", "p", "--no-headers").split()[2] == "Terminating"
    kubectl("delete", "pod", "p", "--force", "--grace-period=0")


@pytest.mark.usefixtures("crds")
def test_batches_are_applied_shown_and_explained(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=BATCH)
    head, row = kubectl("get", "backupbatches").splitlines()
    assert head.split()[:3] == ["NAME", "SCHEDULE", "PAUSED"]
    assert row.startswith("nightly   0 3 * * *")
    assert "nightly" in kubectl("get", "stash")
    assert "retentionPolicy" in kubectl("explain", "backupbatch.spec")
    kubectl("apply", "--server-side", "-f", "-", stdin=BATCH)
    kubectl("delete", "backupbatch", "nightly")


@pytest.mark.usefixtures("crds")
def test_a_wrong_batch_is_refused_with_every_fault(kubectl: Kubectl) -> None:
    wrong = BATCH.replace('schedule: "0 3 * * *"', "schedule: 5").replace(
        "keepLast: 5", "keepLast: x"
    )
    told = kubectl("create", "-f", "-", stdin=wrong, fails=True)
    assert "spec.schedule in body must be of type string" in told
    assert "spec.retentionPolicy.keepLast in body must be of type integer" in told


def test_secrets_and_maps_are_created_from_literals(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "configmap", "m", "--from-literal=a=b")
    assert kubectl("get", "secret", "s", "-o", "jsonpath={.data.a}") == "Yg=="
    assert kubectl("get", "cm", "m", "--no-headers").split()[:2] == ["m", "1"]


def test_wait_sees_a_condition_met(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "first")
    assert "condition met" in kubectl("wait", "--for=jsonpath={.metadata.name}=first", "cm/first")


def test_get_w_prints_what_comes(kubectl: Kubectl, kubeconfig: pathlib.Path) -> None:
    command = ["kubectl", f"--kubeconfig={kubeconfig}", "get", "sa", "-w", "--no-headers"]
    kubectl("create", "serviceaccount", "before")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().split()[0] == "before"
            kubectl("create", "serviceaccount", "after")
            assert watching.stdout.readline().split()[0] == "after"
        finally:
            watching.terminate()


def test_unknown_things_are_told(kubectl: Kubectl) -> None:
    assert 'configmaps "nope" not found' in kubectl("get", "cm", "nope", fails=True)
    assert "doesn't have a resource type" in kubectl("get", "gadgets", fails=True)
    assert "v1.31.0+tandem" in kubectl("version")
    assert "backupbatches" in kubectl("api-resources", "--api-group=stash.appscode.com")
