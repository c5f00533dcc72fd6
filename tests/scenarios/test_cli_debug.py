"""``tandem debug``: what helps is in it, and no secret is, wherever it stood."""

from __future__ import annotations

import base64
import json
import stat
import tarfile

import pytest
import yaml

from reconciler.api import resources as r
from reconciler.cli import hiding
from reconciler.cli.debug import Bundle, write
from reconciler.cluster.transport import Response

CANARY = 'canary "in" a coal-mine that sings all day long, and the whole of the night as well'
DATABASE = "hunter2-of-the-database"


def poisoned(shop, manifests):
    """A world with its secrets everywhere that people and programs put them."""
    front = manifests.workload("Deployment", "front")
    container = front["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "PASSWORD", "value": "canary-in-the-environment"}]
    container["args"] = ["--password=canary-in-an-argument"]
    probe = {"exec": {"command": ["check", "canary-in-a-probe"]}}
    container["livenessProbe"] = probe
    header = {"name": "Authorization", "value": "canary-in-a-header"}
    hook = {"httpPost": {"port": 80, "body": "canary-in-a-body", "httpHeaders": [header]}}
    front["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "canary-in-an-annotation"
    }
    shop.apply(front)
    member = manifests.member("Deployment", "front")
    shop.apply(manifests.batch({**member, "hooks": {"preBackup": hook}}))
    secrets = {"RESTIC_PASSWORD": CANARY, "username": DATABASE}
    shop.client.create(
        r.SECRETS,
        {
            "metadata": {"name": "database", "namespace": "shop"},
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in secrets.items()},
        },
    )
    shop.cluster.settle()
    shop.client.create(
        r.EVENTS,
        {
            "metadata": {"name": "told", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "name": "front", "namespace": "shop"},
            "reason": "Failed",
            "message": f"cannot log in with {CANARY} as {DATABASE}",
        },
    )
    shop.cluster.server.on_logs(lambda *_: [f"restic said {CANARY}\n{DATABASE}\n".encode()])


def collected(shop):
    return Bundle(shop.client, shop.clock, "shop", "tandem")


def test_what_helps_is_in_it(shop, manifests):
    poisoned(shop, manifests)
    shop.run_to(3, 5)
    files = collected(shop).files()

    [batch] = yaml.safe_load(files["objects/backupbatches.yaml"])
    assert batch["status"]["phase"] == "Succeeded"
    assert json.loads(files["explained/backupbatch-web.json"])["machines"]
    assert json.loads(files["status.json"])["batches"][0]["name"] == "web"
    versions = json.loads(files["versions.json"])
    assert versions["kubernetes"]["gitVersion"]
    assert versions["definitions"]["backupbatches.stash.appscode.com"] == ["v1beta1"]
    assert any(name.startswith("logs/") and "-stash.log" in name for name in files)
    [secret] = [s for s in yaml.safe_load(files["objects/secrets.yaml"]) if "username" in s["data"]]
    assert secret["data"] == {"RESTIC_PASSWORD": "(hidden)", "username": "(hidden)"}


@pytest.mark.parametrize(
    "secret", ["canary", "Y2FuYXJ5", "coal-mine", "hunter2", base64.b64encode(b"hunter2")[:9]]
)
def test_no_secret_is_in_it_in_any_form(shop, manifests, secret):
    poisoned(shop, manifests)
    text = secret if isinstance(secret, str) else secret.decode()
    files = collected(shop).files()
    assert len(files) > 10
    assert [name for name, content in files.items() if text in content] == []


def test_the_words_of_the_bundle_are_not_lost_to_a_token_of_an_account(shop):
    token = {"namespace": "shop", "ca.crt": "certificate", "token": "canary-token"}
    secret = {
        "type": "kubernetes.io/service-account-token",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in token.items()},
    }
    assert hiding.redactor([secret])("shop has canary-token") == "shop has ***"


def test_what_may_not_be_read_is_said_and_the_rest_is_there(shop, manifests):
    poisoned(shop, manifests)

    def refuse(request, proceed):
        if "/secrets" in request.path:
            return Response(403, {"message": "secrets is forbidden"})
        return proceed(request)

    shop.cluster.server.intercept(refuse)
    files = collected(shop).files()
    assert "secrets: secrets is forbidden" in files["missing.txt"]
    assert "the operator's pods: none in namespace tandem" in files["missing.txt"]
    assert "objects/pods.yaml" in files


def test_the_archive_is_for_nobody_else_of_the_machine(shop, tmp_path):
    target = tmp_path / "bundle.tar.gz"
    write(target, "bundle", {"a/b.txt": "hello\n"}, shop.clock)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with tarfile.open(target) as archive:
        [entry] = archive.getmembers()
        assert entry.name == "bundle/a/b.txt"
        content = archive.extractfile(entry)
        assert content is not None
        assert content.read() == b"hello\n"
