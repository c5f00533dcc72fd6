"""Mistakes that would show later, as a backup without end or without data, are told now."""

from __future__ import annotations

import pathlib
from typing import Any

import attrs
import pytest
import yaml

from reconciler.api.app_binding import AppBinding
from reconciler.api.backup import BackupBatch, BackupConfiguration
from reconciler.api.crds import KINDS
from reconciler.api.decoding import decode
from reconciler.api.invoker import Invoker
from reconciler.api.repository import Repository
from reconciler.api.restore import RestoreBatch, RestoreSession
from reconciler.api.session import BackupSession
from reconciler.api.task import Function, Task
from reconciler.api.validation import validate
from reconciler.errors import Fault

DATA = pathlib.Path(__file__).parents[2] / "data" / "api"
BY_KIND = {kind.resource.kind: kind.cls for kind in KINDS}

APP = {
    "target": {
        "ref": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "paths": ["/data"],
    }
}
FILES = {
    "task": {"name": "pvc-backup"},
    "target": {"ref": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "files"}},
}
KEEP = {"name": "k", "keepLast": 5, "prune": True}


def app(
    kind: str = "Deployment", name: str = "web", alias: str = "", **target: Any
) -> dict[str, Any]:
    ref = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return {"target": {**APP["target"], "ref": ref, "alias": alias, **target}}


def batch(*members: dict[str, Any], name: str = "shop", **spec: Any) -> BackupBatch:
    return decode(
        BackupBatch,
        {
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {
                "schedule": "0 3 * * *",
                "repository": {"name": "repo"},
                "retentionPolicy": KEEP,
                "members": list(members) or [APP],
                **spec,
            },
        },
        unknown="ignore",
    )


def repository(wipe_out: bool = False, **backend: Any) -> Repository:
    return decode(
        Repository,
        {
            "metadata": {"name": "repo"},
            "spec": {
                "backend": {"storageSecretName": "s", **backend},
                "wipeOut": wipe_out,
            },
        },
        unknown="ignore",
    )


def the_fault(obj: object) -> Fault:
    (fault,) = validate(obj)
    return fault


# -- what is right ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        document
        for name in ("stash_v0_9_rc6.yaml", "stash_v0_10.yaml")
        for document in yaml.safe_load_all((DATA / name).read_text())
    ],
    ids=lambda d: f"{d['kind']}-{d['metadata']['name']}",
)
def test_what_works_with_stash_has_no_fault(document: dict[str, Any]) -> None:
    assert validate(decode(BY_KIND[document["kind"]], document)) == ()


def test_an_invoker_and_the_object_it_is_a_view_of_have_the_same_faults() -> None:
    obj = batch(schedule="")

    assert validate(obj) == validate(Invoker.of(obj)) != ()


def test_only_kinds_of_the_api_can_be_validated() -> None:
    with pytest.raises(TypeError, match="str is not a kind"):
        validate("text")


# -- invokers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "path", "remedy"),
    [
        ({"schedule": ""}, "spec.schedule", "0 3 * * *"),
        ({"schedule": "0 3 * * 7"}, "spec.schedule", "numbers from 0 to 6"),
        ({"repository": {}}, "spec.repository.name", "name a Repository"),
        ({"backupHistoryLimit": -1}, "spec.backupHistoryLimit", "0 or more"),
        ({"timeOut": "2 hours"}, "spec.timeOut", "for example 1h30m"),
        ({"timeOut": "-2h"}, "spec.timeOut", "for example 2h"),
        ({"timeOut": "0s"}, "spec.timeOut", "for example 2h"),
        ({"retryConfig": {"maxRetry": -1}}, "spec.retryConfig.maxRetry", "0 or more"),
        ({"retryConfig": {"delay": "soon"}}, "spec.retryConfig.delay", "for example 1h30m"),
        ({"retentionPolicy": {"name": "k", "prune": True}}, "spec.retentionPolicy", "keepLast: 5"),
        ({"retentionPolicy": KEEP | {"keepDaily": -1}}, "spec.retentionPolicy.keepDaily", "0 or"),
        ({"hooks": {"preBackup": {}}}, "spec.hooks.preBackup", "exec, httpGet"),
        ({"hooks": {"postBackup": {"exec": {}}}}, "spec.hooks.postBackup.exec.command", "command"),
        (
            {"hooks": {"postBackup": {"httpPost": {"port": 1, "scheme": "FTP"}}}},
            "spec.hooks.postBackup.httpPost.scheme",
            "HTTPS",
        ),
        (
            {"hooks": {"preBackup": {"tcpSocket": {"port": "mysql"}}}},
            "spec.hooks.preBackup.tcpSocket.port",
            "containerName",
        ),
    ],
)
def test_a_batch_is_told_what_is_wrong_and_what_to_do(
    spec: dict[str, Any], path: str, remedy: str
) -> None:
    fault = the_fault(batch(**spec))

    assert fault.path == path
    assert remedy in fault.remedy


def test_a_fault_shows_what_was_found() -> None:
    assert the_fault(batch(schedule="0 3 * * 7")).value == "0 3 * * 7"


def test_a_batch_without_members_has_nothing_to_back_up() -> None:
    assert [f.path for f in validate(batch(members=[]))] == ["spec.members"]


def test_words_that_never_came_by_json_are_checked_too() -> None:
    right = batch()
    words: dict[str, Any] = {"driver": "Rustic", "execution_order": "sequential"}
    wrong = attrs.evolve(right, spec=attrs.evolve(right.spec, **words))

    assert {f.path: f.remedy for f in validate(wrong)} == {
        "spec.driver": "did you mean Restic?",
        "spec.executionOrder": "did you mean Sequential?",
    }


def test_a_retention_by_tags_alone_keeps_something() -> None:
    policy = {"name": "k", "keepTags": ["gold"], "prune": True}

    assert validate(batch(retentionPolicy=policy)) == ()


def test_a_name_that_labels_cannot_carry_is_refused() -> None:
    fault = the_fault(batch(name="a" * 64))

    assert (fault.path, fault.problem) == ("metadata.name", "is 64 characters long")


def test_the_fields_of_a_configuration_are_named_as_they_stand_there() -> None:
    obj = decode(
        BackupConfiguration,
        {
            "metadata": {"name": "files"},
            "spec": {
                "schedule": "@daily",
                "repository": {"name": "repo"},
                "retentionPolicy": KEEP,
                "target": app(paths=[])["target"],
            },
        },
        unknown="ignore",
    )

    assert the_fault(obj).path == "spec.target.paths"


# -- members ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "path", "remedy"),
    [
        ({}, "target", "say what is backed up"),
        ({"task": {"name": "t"}, "target": {"ref": {"kind": "AppBinding"}}},
         "target.ref.name", "write the target's name"),
        (app(kind="deployment"), "target.ref.kind", "did you mean Deployment?"),
        (app(kind="StatefulSets"), "target.ref.kind", "did you mean StatefulSet?"),
        (app(ref={"apiVersion": "v1", "kind": "Deployment", "name": "web"}),
         "target.ref.apiVersion", "write apps/v1"),
        (app(paths=[]), "target.paths", "name the folders"),
        (app(paths=["data"]), "target.paths[0]", "begin it with /"),
        (app(paths=["/data", "/other"]), "target.paths[1]", "volumeMounts"),
        (app(volumeMounts=[]), "target.paths[0]", "volumeMounts"),
        (app(volumeMounts=[{"name": "d", "mountPath": "/data"}, {"name": "x"}]),
         "target.volumeMounts[1].mountPath", "say where"),
        (app(volumeMounts=[{"mountPath": "/data"}, {"mountPath": "/tmp/"}]),
         "target.volumeMounts[1].mountPath", "mount it elsewhere"),
        ({"target": FILES["target"]}, "task", "task: {name: pvc-backup}"),
        ({"target": {"ref": {"kind": "AppBinding", "name": "db"}}}, "task", "mysql-backup"),
        (app() | {"hooks": {"preBackup": {"containerName": "web"}}}, "hooks.preBackup", "exec"),
    ],
)  # fmt: skip
def test_a_member_is_told_what_is_wrong_and_what_to_do(
    member: dict[str, Any], path: str, remedy: str
) -> None:
    found = {f.path: f.remedy for f in validate(batch(FILES, member))}

    assert remedy in found[f"spec.members[1].{path}"]


@pytest.mark.parametrize("paths", [["/data"], ["/data/sub/folder"], ["/"]])
def test_a_path_inside_or_around_a_mounted_volume_is_seen(paths: list[str]) -> None:
    assert validate(batch(app(paths=paths))) == ()


def test_a_volume_snapshot_needs_neither_paths_nor_task() -> None:
    members = [app(paths=[], volumeMounts=[]), {"target": FILES["target"]}]

    assert validate(batch(*members, driver="VolumeSnapshotter", repository={})) == ()


def test_a_kind_that_only_a_task_knows_is_allowed() -> None:
    member = {"task": {"name": "t"}, "target": {"ref": {"kind": "Elasticsearch", "name": "es"}}}

    assert validate(batch(member)) == ()


def test_one_target_in_two_members_is_refused() -> None:
    fault = the_fault(batch(app(alias="a"), FILES, app(alias="b")))

    assert fault.path == "spec.members[2].target.ref"
    assert fault.problem == "is the target of spec.members[0] too"
    assert fault.value == "Deployment/web"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (app(name="a", alias="data"), app(name="b", alias="data")),
        (app(name="a", alias="deploy-b"), app(name="b")),
        (app(name="a", alias="sts-db-0"), app(kind="StatefulSet", name="db")),
        (app(kind="StatefulSet", name="db", alias="db"), app(name="b", alias="db-12")),
        (app(kind="StatefulSet", name="db", alias="x"), app(name="b", alias="x")),
    ],
)
def test_two_members_must_not_share_a_host(one: dict[str, Any], other: dict[str, Any]) -> None:
    fault = the_fault(batch(one, other))

    assert fault.path == "spec.members[1].target.alias"
    assert fault.remedy == "give it an alias of its own"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (app(name="a"), app(name="b")),
        (app(name="a"), app(kind="StatefulSet", name="a")),
        (app(kind="StatefulSet", name="db", alias="db"), app(name="b", alias="db-x")),
        (app(kind="StatefulSet", name="db", alias="d.b"), app(name="b", alias="dxb-1")),
    ],
)
def test_members_that_differ_are_left_alone(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert validate(batch(one, other)) == ()


# -- repositories -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "path", "remedy"),
    [
        ({}, "spec.backend", "add one of local, s3"),
        ({"gcs": {"bucket": "b"}, "b2": {"bucket": "b"}}, "spec.backend", "keep one; gcs would"),
        ({"storageSecretName": "", "gcs": {"bucket": "b"}},
         "spec.backend.storageSecretName", "RESTIC_PASSWORD"),
        ({"s3": {"bucket": "b"}}, "spec.backend.s3.endpoint", "write the endpoint"),
        ({"s3": {"endpoint": "e"}}, "spec.backend.s3.bucket", "write the bucket"),
        ({"azure": {}}, "spec.backend.azure.container", "write the container"),
        ({"swift": {}}, "spec.backend.swift.container", "write the container"),
        ({"b2": {}}, "spec.backend.b2.bucket", "write the bucket"),
        ({"gcs": {"bucket": "b", "maxConnections": -1}},
         "spec.backend.gcs.maxConnections", "0 or more"),
        ({"local": {"mountPath": "/safe"}}, "spec.backend.local", "write one"),
        ({"local": {"mountPath": "/safe", "nfs": {}, "hostPath": {}}},
         "spec.backend.local", "write one"),
        ({"local": {"nfs": {}}}, "spec.backend.local.mountPath", "/safe/data"),
        ({"local": {"nfs": {}, "mountPath": "safe"}},
         "spec.backend.local.mountPath", "begin it with /"),
        ({"local": {"nfs": {}, "mountPath": "/stash"}},
         "spec.backend.local.mountPath", "mount it elsewhere"),
        ({"local": {"nfs": {}, "mountPath": "/stash/data"}},
         "spec.backend.local.mountPath", "mount it elsewhere"),
        ({"rest": {}}, "spec.backend.rest.url", "https://backup:8000"),
        ({"rest": {"url": "backup:8000"}}, "spec.backend.rest.url", "https://backup:8000"),
        ({"rest": {"url": "http://[bad"}}, "spec.backend.rest.url", "https://backup:8000"),
    ],
)  # fmt: skip
def test_a_repository_is_told_what_is_wrong_and_what_to_do(
    backend: dict[str, Any], path: str, remedy: str
) -> None:
    fault = the_fault(repository(**backend))

    assert fault.path == path
    assert remedy in fault.remedy


def test_a_mount_path_that_only_begins_like_stash_is_allowed() -> None:
    assert validate(repository(local={"nfs": {}, "mountPath": "/stashed"})) == ()


@pytest.mark.parametrize("url", ["https://me:canary@backup:8000", "me:canary@backup"])
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    fault = the_fault(repository(rest={"url": url}))

    assert fault.path == "spec.backend.rest.url"
    assert "canary" not in str(fault)


@pytest.mark.parametrize(
    ("backend", "refused"),
    [
        ({"local": {"nfs": {}, "mountPath": "/safe"}}, False),
        ({"b2": {"bucket": "b"}}, False),
        ({"rest": {"url": "http://backup:8000"}}, True),
        ({"gcs": {"bucket": "b"}}, False),
        ({"s3": {"bucket": "b", "endpoint": "e"}}, False),
    ],
)
def test_wipe_out_is_refused_where_it_could_not_be_done(
    backend: dict[str, Any], refused: bool
) -> None:
    found = [fault.path for fault in validate(repository(wipe_out=True, **backend))]

    assert found == (["spec.wipeOut"] if refused else [])


# -- restores ---------------------------------------------------------------------------------


def restore(target_rules: list[dict[str, Any]], **spec: Any) -> RestoreSession:
    return decode(
        RestoreSession,
        {
            "metadata": {"name": "r"},
            "spec": {
                "repository": {"name": "repo"},
                "target": {
                    "ref": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                    "rules": target_rules,
                },
                **spec,
            },
        },
        unknown="ignore",
    )


@pytest.mark.parametrize(
    ("rules", "path", "problem"),
    [
        ([], "", "is empty, so nothing would be restored"),
        ([{"paths": ["/a"]}, {"paths": ["/b"]}],
         "[1].targetHosts", "is empty, as that of spec.target.rules[0]"),
        ([{"targetHosts": ["a"], "paths": ["/a"]}, {"targetHosts": ["b", "a"], "paths": ["/b"]}],
         "[1].targetHosts", "names a host of spec.target.rules[0]"),
        ([{"targetHosts": ["a", "a"], "paths": ["/a"]}],
         "[0].targetHosts", "names a host of spec.target.rules[0]"),
        ([{"snapshots": ["latest"], "paths": ["/a"]}], "[0]", "has both snapshots and paths"),
        ([{"include": ["*.a"], "exclude": ["*.b"]}], "[0]", "has both include and exclude"),
    ],
)  # fmt: skip
def test_rules_that_conflict_are_refused(
    rules: list[dict[str, Any]], path: str, problem: str
) -> None:
    fault = the_fault(restore(rules))

    assert (fault.path, fault.problem) == (f"spec.target.rules{path}", problem)


RULES = [{"paths": ["/data"]}]


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        (restore(RULES, rules=RULES), "spec.rules"),
        (restore(RULES, repository={}), "spec.repository.name"),
        (restore(RULES, timeOut="x"), "spec.timeOut"),
        (restore(RULES, target=None), "spec.target"),
        (restore(RULES, hooks={"preRestore": {}}), "spec.hooks.preRestore"),
        (restore([], rules=[{"snapshots": ["a"], "paths": ["/b"]}]), "spec.rules[0]"),
    ],
)
def test_a_restore_is_told_what_is_wrong(obj: RestoreSession, path: str) -> None:
    assert the_fault(obj).path == path


def test_the_deprecated_place_of_rules_is_still_good() -> None:
    assert validate(restore([], rules=RULES)) == ()


def test_a_rule_without_snapshots_and_paths_restores_the_latest_of_all() -> None:
    assert validate(restore([{"targetHosts": ["a"]}, {}])) == ()


def test_two_members_do_not_make_the_same_claims() -> None:
    made = {"target": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}], "rules": [{}]}}

    assert the_fault(restore_batch(made, made)).path == "spec.members[1].target.ref"


def restore_batch(*members: dict[str, Any], **spec: Any) -> RestoreBatch:
    return decode(
        RestoreBatch,
        {
            "metadata": {"name": "r"},
            "spec": {"repository": {"name": "repo"}, "members": list(members), **spec},
        },
        unknown="ignore",
    )


def restored(name: str) -> dict[str, Any]:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {"target": {"ref": ref, "rules": RULES}}


def test_a_restore_batch_names_each_target_once() -> None:
    assert the_fault(restore_batch(restored("a"), restored("b"), restored("a"))).path == (
        "spec.members[2].target.ref"
    )


def test_a_restore_batch_needs_members_with_targets() -> None:
    assert the_fault(restore_batch()).path == "spec.members"
    assert the_fault(restore_batch({})).path == "spec.members[0].target"


# -- the others -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "spec", "path"),
    [
        (BackupSession, {"invoker": {"kind": "BackupBacht", "name": "x"}}, "spec.invoker.kind"),
        (Function, {}, "spec.image"),
        (Task, {}, "spec.steps"),
        (AppBinding, {"clientConfig": {}}, "spec.clientConfig"),
        (AppBinding, {"clientConfig": {
            "url": "x", "service": {"scheme": "s", "name": "n", "port": 1}}}, "spec.clientConfig"),
    ],
)  # fmt: skip
def test_the_other_kinds_are_told_what_is_wrong(
    cls: type[object], spec: dict[str, Any], path: str
) -> None:
    obj: object = decode(cls, {"metadata": {"name": "x"}, "spec": spec}, unknown="ignore")

    assert the_fault(obj).path == path
