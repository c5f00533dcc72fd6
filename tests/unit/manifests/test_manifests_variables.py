"""Functions and Tasks: what a variable becomes, and what is said when it cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.api.decoding import decode
from reconciler.api.invoker import decode_invoker
from reconciler.api.repository import Repository
from reconciler.manifests import functions, inputs, tasks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${X}", "x"),
        ("a${X}b${X}", "axbx"),
        ("${NOT:=d}", "d"),
        ("${NOT:-d}", "d"),
        ("${NOT=d}", "d"),
        ("${NOT:=}", ""),
        ("${EMPTY:=d}", ""),
        ("$${X}", "${X}"),
        ("$$(X)", "$(X)"),
        ("$X", "$X"),
        ("cost: 5$", "cost: 5$"),
        ("${X-y}", "${X-y}"),
    ],
)
def test_the_syntax_of_variables_is_that_of_stash(text, expected):
    faults = []
    assert functions.substitute(text, {"X": "x", "EMPTY": ""}, "spec", faults) == expected
    assert not faults


def test_a_missing_variable_is_told_with_its_place_and_remedy():
    faults = []
    functions.substitute({"args": ["ok", "--a=${NOPE}"]}, {}, "Function/f.spec", faults)
    (fault,) = faults
    assert fault.path == "Function/f.spec.args[1]"
    assert "NOPE" in fault.problem
    assert "task.params" in fault.remedy


@given(st.text())
def test_any_value_stays_one_value_whatever_it_contains(value):
    faults = []
    found = functions.substitute({"args": ["--x=${X}", 7, None]}, {"X": value}, "spec", faults)
    assert found == {"args": [f"--x={value}", 7, None]}


@given(st.recursive(st.integers() | st.booleans() | st.none(), st.lists))
def test_what_is_not_text_is_left_alone(value):
    assert functions.substitute(value, {}, "spec", []) == value


def invoker(**member):
    target = member.pop("target", {})
    ref = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "uploads"}
    spec = {
        "repository": {"name": "repo"},
        "schedule": "* * * * *",
        "retentionPolicy": member.pop("policy", {"name": "p", "prune": False, "keepLast": 1}),
        "members": [{"target": {"ref": ref, **target}, "task": {"name": "t"}, **member}],
    }
    meta = {"name": "web", "namespace": "shop", "uid": "u"}
    obj = {"apiVersion": "stash.appscode.com/v1beta1", "kind": "BackupBatch"}
    return decode_invoker({**obj, "metadata": meta, "spec": spec})


def repository(**backend):
    backend = backend or {"s3": {"endpoint": "http://e", "bucket": "b", "prefix": "/p"}}
    obj = {"apiVersion": "stash.appscode.com/v1alpha1", "kind": "Repository"}
    spec = {"backend": {"storageSecretName": "s", **backend}}
    meta = {"name": "repo", "namespace": "shop"}
    return decode(Repository, {**obj, "metadata": meta, "spec": spec})


def variables(batch=None, repo=None, image="reg:5000/tandem/tandem:1.2"):
    batch = batch or invoker()
    member = batch.members[0]
    repo = repo or repository()
    return inputs.variables(batch, member, repo, session="web-1", host="host-0", image=image)


def test_the_operators_variables_are_those_of_stash():
    policy = {"name": "p", "prune": True, "keepLast": 3, "keepTags": ["a", "b"], "dryRun": True}
    batch = invoker(
        target={
            "paths": ["/a", "/b"],
            "exclude": ["*.tmp", "x"],
            "volumeMounts": [{"name": "v", "mountPath": "/data"}],
        },
        tempDir={"disableCaching": True},
        interimVolumeTemplate={"metadata": {"name": "i"}},
        policy=policy,
    )
    repo = repository(s3={"endpoint": "http://e", "bucket": "b", "prefix": "/p", "region": "r"})
    assert variables(batch, repo) == {
        "NAMESPACE": "shop",
        "BACKUP_SESSION": "web-1",
        "INVOKER_KIND": "BackupBatch",
        "INVOKER_NAME": "web",
        "HOSTNAME": "host-0",
        "PROMETHEUS_JOB_NAME": "web",
        "REPOSITORY_NAME": "repo",
        "REPOSITORY_PROVIDER": "s3",
        "REPOSITORY_BUCKET": "b",
        "REPOSITORY_PREFIX": "/p",
        "REPOSITORY_SECRET_NAME": "s",
        "REPOSITORY_ENDPOINT": "http://e",
        "REPOSITORY_REGION": "r",
        "MAX_CONNECTIONS": "0",
        "TARGET_NAME": "uploads",
        "TARGET_KIND": "PersistentVolumeClaim",
        "TARGET_MOUNT_PATH": "/data",
        "TARGET_PATHS": "/a,/b",
        "EXCLUDE_PATTERNS": "*.tmp,x",
        "ENABLE_CACHE": "false",
        "INTERIM_DATA_DIR": "/stash-interim-volume/data",
        "RETENTION_KEEP_LAST": "3",
        "RETENTION_KEEP_TAGS": "a,b",
        "RETENTION_PRUNE": "true",
        "RETENTION_DRY_RUN": "true",
        "STASH_DOCKER_REGISTRY": "reg:5000/tandem",
        "STASH_DOCKER_IMAGE": "tandem",
        "STASH_IMAGE_TAG": "1.2",
    }


def test_what_is_not_set_has_a_default_or_is_absent():
    found = variables(image="reg:5000/tandem@sha256:abc")
    assert found["TARGET_PATHS"] == found["TARGET_MOUNT_PATH"] == "/stash-data"
    assert found["ENABLE_CACHE"] == "true"
    assert found["INTERIM_DATA_DIR"] == "/tmp/stash-interim-volume/data"
    assert found["STASH_IMAGE_TAG"] == "latest"
    assert {"REPOSITORY_REGION", "EXCLUDE_PATTERNS", "RETENTION_PRUNE"}.isdisjoint(found)


def task(*steps, volumes=()):
    spec = {"steps": list(steps), "volumes": list(volumes)}
    return {"metadata": {"name": "t"}, "spec": spec}


def function(name, **spec):
    return {"metadata": {"name": name}, "spec": {"image": "i", **spec}}


def test_the_operators_variables_win_over_params_and_params_over_defaults():
    one = function("one", args=["${A:=default}", "${B:=default}", "${C:=default}"])
    steps = task(
        {"name": "one", "params": [{"name": "A", "value": "step"}, {"name": "B", "value": "step"}]}
    )
    found = tasks.resolve(steps, {"one": one}, {"A": "operator"})
    assert found.containers[0]["args"] == ["operator", "step", "default"]
    assert not found.faults


def test_a_params_value_may_itself_name_a_variable():
    steps = task({"name": "one", "params": [{"name": "dir", "value": "/x/${HOST}"}]})
    found = tasks.resolve(steps, {"one": function("one", args=["${dir}"])}, {"HOST": "h"})
    assert found.containers[0]["args"] == ["/x/h"]


def test_all_that_is_missing_is_told_at_once():
    steps = task({"name": "one"}, {"name": "gone"}, volumes=[{"name": "${V}"}])
    found = tasks.resolve(steps, {"one": function("one", args=["${W}"])}, {})
    assert [fault.path for fault in found.faults] == [
        "Task/t.spec.volumes[0].name",
        "Function/one.spec.args[0]",
        "Task/t.spec.steps[1].name",
    ]


def test_a_task_without_steps_is_told():
    (fault,) = tasks.resolve(task(), {}, {}).faults
    assert "no steps" in fault.problem


def test_a_functions_own_settings_are_in_its_container():
    settings = {"resources": {"limits": {"cpu": "1"}}}
    one = function("my.one", command=["c"], workingDir="/w", runtimeSettings=settings)
    (found,) = tasks.resolve(task({"name": "one"}), {"one": one}, {}).containers
    assert found == {
        "name": "my-one-0",
        "image": "i",
        "command": ["c"],
        "workingDir": "/w",
        **settings,
    }
