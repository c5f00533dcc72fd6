"""``kubectl apply -k deploy/`` is enough: what it installs is current, whole and said once."""

from __future__ import annotations

import configparser
import functools
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from reconciler.api import crds
from reconciler.cli import deployment
from reconciler.decisions.plan import Settings
from reconciler.manifests import access, installation

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = sorted(path.parent for path in ROOT.glob("deploy/overlays/*/kustomization.yaml"))
INSTALLABLE = [ROOT / "deploy", *OVERLAYS]
KUBECTL = shutil.which("kubectl")

with_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
each_folder = pytest.mark.parametrize(
    "folder", INSTALLABLE, ids=lambda path: str(path.relative_to(ROOT))
)


@functools.cache
def built(folder):
    done = subprocess.run(
        [KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of_kind(objects, kind):
    return [each for each in objects if each["kind"] == kind]


def operator(objects):
    (found,) = of_kind(objects, "Deployment")
    return found


def test_the_generated_files_are_fresh_and_there_are_no_others():
    wanted = deployment.render()
    written = {path: (ROOT / path).read_text() for path in wanted}
    assert written == wanted, "run python -m reconciler.cli.deployment"
    assert {f"deploy/base/{path.name}" for path in ROOT.glob("deploy/base/*")} <= set(wanted)


def test_the_roles_to_install_are_those_that_the_operator_binds():
    text = (ROOT / "deploy" / "base" / "roles.yaml").read_text()
    found = tuple(yaml.safe_load_all(text))
    assert found[: len(access.CLUSTER_ROLES)] == access.CLUSTER_ROLES


def test_every_rule_of_a_role_has_its_reason_above_it():
    text = (ROOT / "deploy" / "base" / "roles.yaml").read_text()
    assert len(re.findall(r"^# .+\n- apiGroups", text, re.MULTILINE)) == text.count("- apiGroups")


def test_the_command_writes_the_files(tmp_path):
    deployment.main(tmp_path)
    for path, text in deployment.render().items():
        assert (tmp_path / path).read_text() == text


@with_kubectl
@each_folder
def test_each_folder_installs_kinds_access_and_operator_in_this_order(folder):
    kinds = list(dict.fromkeys(each["kind"] for each in built(folder)))
    assert kinds[:2] == ["Namespace", "CustomResourceDefinition"]
    assert kinds.index("ClusterRole") < kinds.index("Deployment")
    definitions = of_kind(built(folder), "CustomResourceDefinition")
    assert sorted(each["metadata"]["name"] for each in definitions) == sorted(
        each["metadata"]["name"] for each in crds.crds()
    )


@with_kubectl
@each_folder
def test_nothing_is_outside_of_the_namespace_that_is_installed_too(folder):
    (namespace,) = of_kind(built(folder), "Namespace")
    named = {each["metadata"].get("namespace") for each in built(folder)}
    assert named - {None} == {namespace["metadata"]["name"]}


@with_kubectl
def test_the_image_is_named_once_and_is_that_of_this_version():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    text = (ROOT / "deploy" / "kustomization.yaml").read_text()
    assert text.count(installation.IMAGE) == 1
    (container,) = operator(built(ROOT / "deploy"))["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{installation.IMAGE}:{setup['metadata']['version']}"
    assert Settings().image.partition(":")[0] == installation.IMAGE


@with_kubectl
def test_the_development_overlay_runs_one_replica_of_the_image_that_the_pages_build():
    found = operator(built(ROOT / "deploy" / "overlays" / "development"))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    page = (ROOT / "docs" / "development.md").read_text()
    assert found["spec"]["replicas"] == 1
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert f"-t {container['image']} " in page


def test_the_build_context_holds_what_the_package_is_made_of():
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packages = setup["options.packages.find"]["include"].replace("*", "").split()
    described = setup["metadata"]["long_description"].removeprefix("file:").strip()
    assert {"setup.cfg", "pyproject.toml", described, "LICENSE", *packages} == set(kept)


@with_kubectl
@each_folder
def test_what_the_operator_is_started_with_is_what_its_command_line_knows(folder):
    page = (ROOT / "docs" / "cli.md").read_text()
    options = page.partition("## tandem run")[2].partition("\n## ")[0]
    (container,) = operator(built(folder))["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["tandem", "run"]
    for argument in container["args"]:
        assert f"`{argument.partition('=')[0]}" in options


@with_kubectl
@each_folder
def test_every_binding_gives_a_role_that_is_there_to_the_account_of_the_operator(folder):
    objects = built(folder)
    (account,) = of_kind(objects, "ServiceAccount")
    roles = {(each["kind"], each["metadata"]["name"]) for each in objects}
    bindings = of_kind(objects, "ClusterRoleBinding") + of_kind(objects, "RoleBinding")
    assert len(bindings) == 3
    for each in bindings:
        assert (each["roleRef"]["kind"], each["roleRef"]["name"]) in roles
        (subject,) = each["subjects"]
        assert subject["name"] == account["metadata"]["name"]
        assert subject["namespace"] == account["metadata"]["namespace"]


@with_kubectl
def test_an_operator_of_one_namespace_has_no_rights_in_another():
    objects = built(ROOT / "deploy" / "overlays" / "one-namespace")
    everywhere = [each["roleRef"]["name"] for each in of_kind(objects, "ClusterRoleBinding")]
    assert everywhere == ["tandem-operator-catalog"]
    roles = {each["metadata"]["name"]: each for each in of_kind(objects, "ClusterRole")}
    catalog, kinds = roles["tandem-operator-catalog"]["rules"]
    assert catalog["resources"] == ["functions", "tasks"]
    assert (kinds["resources"], kinds["verbs"]) == (["customresourcedefinitions"], ["get"])
    assert all(name.endswith(".stash.appscode.com") for name in kinds["resourceNames"])


@with_kubectl
@each_folder
def test_the_service_the_budget_and_the_spread_are_about_the_pods_of_the_operator(folder):
    objects = built(folder)
    template = operator(objects)["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    (service,) = of_kind(objects, "Service")
    selectors = [
        service["spec"]["selector"],
        operator(objects)["spec"]["selector"]["matchLabels"],
        *(each["spec"]["selector"]["matchLabels"] for each in budgets(objects)),
        *(
            each["labelSelector"]["matchLabels"]
            for each in template["spec"]["topologySpreadConstraints"]
        ),
    ]
    for each in selectors:
        assert each
        assert each.items() <= labels
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert service["metadata"]["annotations"]["prometheus.io/port"] == str(port["containerPort"])
    assert f"--health-port={port['containerPort']}" in container["args"]


def budgets(objects):
    return of_kind(objects, "PodDisruptionBudget")


@with_kubectl
def test_one_of_two_replicas_stays_while_nodes_are_drained():
    for folder in ("deploy", "deploy/overlays/kubernetes-1.20"):
        objects = built(ROOT / folder)
        (budget,) = budgets(objects)
        assert operator(objects)["spec"]["replicas"] - budget["spec"]["maxUnavailable"] == 1


@with_kubectl
def test_kubernetes_1_20_gets_the_version_of_the_budget_that_it_knows():
    (budget,) = budgets(built(ROOT / "deploy" / "overlays" / "kubernetes-1.20"))
    assert budget["apiVersion"] == "policy/v1beta1"


# -- the admission webhook ------------------------------------------------------------------------


@with_kubectl
def test_the_webhook_is_installed_and_removed_by_itself_in_the_operators_image():
    objects = built(ROOT / "deploy" / "webhook")
    kinds = {each["kind"] for each in objects}
    assert kinds.isdisjoint({"CustomResourceDefinition", "Namespace"})
    assert {each["metadata"].get("namespace") for each in objects} == {None, "tandem"}
    (container,) = operator(objects)["spec"]["template"]["spec"]["containers"]
    (other,) = operator(built(ROOT / "deploy"))["spec"]["template"]["spec"]["containers"]
    assert container["image"] == other["image"]


@with_kubectl
def test_the_webhook_fails_open_and_is_asked_about_every_kind_and_no_status():
    (found,) = of_kind(built(ROOT / "deploy" / "webhook"), "ValidatingWebhookConfiguration")
    (hook,) = found["webhooks"]
    assert (hook["failurePolicy"], hook["timeoutSeconds"]) == ("Ignore", 5)
    assert (hook["sideEffects"], hook["matchPolicy"]) == ("None", "Equivalent")
    asked = {
        (rule["apiGroups"][0], rule["apiVersions"][0], each)
        for rule in hook["rules"]
        for each in rule["resources"]
    }
    assert asked == {
        (kind.resource.group, kind.resource.version, kind.resource.plural) for kind in crds.KINDS
    }


@with_kubectl
def test_what_the_webhook_is_started_with_is_what_its_command_line_knows():
    page = (ROOT / "docs" / "cli.md").read_text()
    options = page.partition("## tandem webhook")[2].partition("\n## ")[0]
    (container,) = operator(built(ROOT / "deploy" / "webhook"))["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["command"] == ["tandem", "webhook"]
    for argument in container["args"]:
        assert argument.partition("=")[0] in options


@with_kubectl
def test_the_webhook_may_touch_one_secret_and_one_configuration_and_make_neither():
    rules = [
        rule
        for role in built(ROOT / "deploy" / "webhook")
        if role["kind"] in {"Role", "ClusterRole"}
        for rule in role["rules"]
    ]
    named = {rule["resources"][0]: rule for rule in rules if "resourceNames" in rule}
    assert set(named) == {"secrets", "validatingwebhookconfigurations"}
    assert not any("create" in rule["verbs"] for rule in rules)
