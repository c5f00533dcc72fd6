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
    written = {
        str(path.relative_to(ROOT)): path.read_text()
        for path in (*ROOT.glob("deploy/base/*"), ROOT / "crds" / "Kustomization")
    }
    assert written == deployment.render(), "run python -m reconciler.cli.deployment"


def test_the_roles_to_install_are_those_that_the_operator_binds():
    text = (ROOT / "deploy" / "base" / "roles.yaml").read_text()
    assert tuple(yaml.safe_load_all(text)) == access.CLUSTER_ROLES


def test_the_command_writes_the_files(tmp_path):
    for folder in ("deploy/base", "crds"):
        (tmp_path / folder).mkdir(parents=True)
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
