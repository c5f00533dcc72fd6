"""What Tandem builds for one input, compared with what the real Stash v0.9.0-rc.6 made of it.

``stash_rc6/`` holds the input and what the real operator created on a real API server. Objects are
flattened to ``path: value``; every path that differs must match a row of ``WANTED``, and every row
must be needed. So a difference is either explained or a bug.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from reconciler.api.decoding import decode
from reconciler.api.invoker import Invoker, decode_invoker
from reconciler.api.repository import Repository
from reconciler.api.resources import CRON_JOBS_V1BETA1
from reconciler.manifests import access, catalog, cron_job, injection, jobs, sidecar

HERE = Path(__file__).parent / "stash_rc6"
IMAGE = "local/stash:v0.9.0-rc.6"
BATCH, SESSION = "wordpress-backup", "wordpress-backup-1"
DEFAULT = "the API server fills in its default; an applied object leaves it out"
POLICY = "no PodSecurityPolicy: gone from Kubernetes since 1.25"
LEAST = "least privilege, each rule with a reason; Stash grants * on its whole group (spec 10.46)"
SHARED = "access rules are shared by the batches of a namespace, so they have other names"
SEEN = "the agent reads it from the Repository or the invoker itself"
METRICS = "metrics are exported from the objects in the cluster, not pushed (spec 10.55)"
RESTORE = "as in v0.10: a restore is named by kind and name, for there are two kinds"


@attrs.frozen
class Wanted:
    """A difference that is meant: objects and paths by pattern, and why."""

    objects: str
    path: str
    why: str


WANTED = (
    # -- every pod --
    *(
        Wanted("*", f"*{path}", DEFAULT)
        for path in (
            ".terminationMessagePath",
            ".terminationMessagePolicy",
            ".dnsPolicy",
            ".schedulerName",
            ".terminationGracePeriodSeconds",
            ".serviceAccount",
            ".fieldRef.apiVersion",
            ".defaultMode",
        )
    ),
    Wanted("*", "*.containers[[]*].resources", DEFAULT),
    Wanted("*", "*.initContainers[[]*].resources", DEFAULT),
    Wanted("*", "*template.spec.securityContext", DEFAULT),
    Wanted("[DS]*", "*.imagePullPolicy", DEFAULT),
    Wanted(
        "*",
        "*ontainers[[]*].securityContext.*",
        "our containers run where the Pod Security Standard restricted is enforced",
    ),
    Wanted("*", "*.args[[]--invoker-type]", "--invoker-kind since v0.10"),
    Wanted("*", "*.args[[]--invoker-kind]", "--invoker-kind since v0.10"),
    # -- the trigger --
    Wanted(
        "CronJob/*",
        "*labels.stash.appscode.com/delete-job-on-completion",
        "history limits of the CronJob do it; in Stash the label leaks (spec 10.45)",
    ),
    Wanted("CronJob/*", "spec.concurrencyPolicy", "slots never run side by side (spec 10.1)"),
    Wanted("CronJob/*", "spec.startingDeadlineSeconds", "a late slot is given up, not run at noon"),
    Wanted("CronJob/*", "spec.successfulJobsHistoryLimit", "one finished trigger is enough"),
    Wanted("CronJob/*", "spec.jobTemplate.spec.activeDeadlineSeconds", "Forbid needs an end"),
    Wanted("CronJob/*", "*.template.metadata.labels.*", "pods can be told to be ours, as Jobs can"),
    Wanted("CronJob/*", "*.serviceAccountName", SHARED),
    Wanted("CronJob/*", "*.env[[]JOB_NAME]*", "the slot is read from the Job, so names are locks"),
    # -- workloads --
    *(
        Wanted("[DS]*/*", path, "set by Kubernetes or by the API server's defaults, not by us")
        for path in (
            "metadata.annotations.deployment.kubernetes.io/revision",
            "spec.progressDeadlineSeconds",
            "spec.revisionHistoryLimit",
            "spec.strategy.*",
            "spec.template.spec.restartPolicy",
            "spec.podManagementPolicy",
            "spec.updateStrategy.*",
            "spec.volumeClaimTemplates*",
        )
    ),
    Wanted(
        "[DS]*/*",
        "metadata.annotations.stash.appscode.com/last-applied-backup-invoker*",
        "the whole invoker in an annotation can outgrow it (spec 10.32): a short mark is enough",
    ),
    Wanted("[DS]*/*", "*annotations.tandem.appscode.com/invoker", "the short mark"),
    Wanted(
        "[DS]*/*",
        "*/last-applied-backup-invoker-hash",
        "the hash covers only what the sidecar depends on (spec 10.30)",
    ),
    Wanted(
        "[DS]*/*",
        "*secret.optional",
        "a backend Secret that is deleted must not keep the user's pods from starting",
    ),
    Wanted("*", "*.env[[]POD_UID]*", "a claim names its runner by uid"),
    *(
        Wanted("[DS]*/*", f"*.args[[]--{flag}]", METRICS)
        for flag in ("metrics-enabled", "pushgateway-url")
    ),
    *(
        Wanted("[DS]*/*", f"*.args[[]--{flag}]", "flags of Stash's operator without a use here")
        for flag in (
            "use-kubeapiserver-fqdn-for-aks",
            "enable-analytics",
            "logtostderr",
            "alsologtostderr",
            "v",
            "stderrthreshold",
        )
    ),
    # -- the Job --
    Wanted("Job/*", "spec.activeDeadlineSeconds", "no Job outlives its session (spec 10.2)"),
    Wanted("Job/*", "spec.completions", DEFAULT),
    Wanted("Job/*", "spec.parallelism", DEFAULT),
    Wanted("Job/*", "spec.selector.*", "set by the Job controller"),
    Wanted("Job/*", "*.labels.controller-uid", "set by the Job controller"),
    Wanted("Job/*", "*.labels.job-name", "set by the Job controller"),
    Wanted("Job/*", "spec.template.metadata.labels.*", "as in v0.10: pods carry the labels too"),
    Wanted("Job/*", "*.labels.stash.appscode.com/invoker-*", "Jobs can be found by their batch"),
    Wanted("Job/*", "metadata.labels.tandem.appscode.com/task", "what the Job is for"),
    Wanted("Job/*", "*.serviceAccountName", SHARED),
    Wanted("Job/*", "*.imagePullPolicy", "left to Kubernetes: a backup must not need the registry"),
    Wanted("Job/*", "*.env[[]POD_NAME]*", "a claim names its runner"),
    Wanted("Job/*", "*.env[[]BACKUP_SESSION_UID]*", "the fencing token"),
    Wanted(
        "Job/*",
        "*.args[[]--path]",
        "as in v0.10: one restic repository a batch, its members told apart by host",
    ),
    Wanted("Job/*", "*.args[[]--hostname]", "a member without an alias gets one that is its own"),
    Wanted("Job/*", "*.args[[]--retention-*]", SEEN),
    Wanted("Function/*", "*.args[[]--retention-*]", SEEN),
    *(
        Wanted("*", f"*.args[[]--{flag}]", "as in v0.10, with --region, which it forgets (10.53)")
        for flag in (
            "region",
            "exclude",
            "backupsession",
            "target-kind",
            "target-name",
            "invoker-name",
            "provider",
            "bucket",
            "endpoint",
            "path",
            "max-connections",
            "secret-dir",
            "scratch-dir",
            "enable-cache",
        )
    ),
    Wanted("*", "*.args[[]--restoresession]", RESTORE),
    *(
        Wanted("*", f"*.args[[]--{flag}]", METRICS)
        for flag in ("metrics-enabled", "metrics-pushgateway-url", "prom-job-name")
    ),
    Wanted(
        "*", "*update-status*volumeMounts[[]/etc/repository/secret]*", "as in v0.10: it has a mount"
    ),
    Wanted("Function/update-status", "*volumeMounts*", "as in v0.10: it has a mount"),
    Wanted("Task/*", "*[[]update-status].params[[]secretVolume]*", "as in v0.10"),
    Wanted(
        "Function/pvc-restore",
        "*.args[[]--restore-paths]",
        "a rule without paths restores what was backed up; in Stash it restores nothing",
    ),
    Wanted("Function/*", "metadata.labels.*", "what is built in can be told from what is not"),
    Wanted("Task/*", "metadata.labels.*", "what is built in can be told from what is not"),
    # -- whole objects --
    *(
        Wanted("Function/pvc-restore", f"*.args[[]--{flag}]", RESTORE)
        for flag in ("invoker-kind", "source-hostname", "include")
    ),
    *(
        Wanted(f"{kind}/{name}", "*", "a separate addon image in Stash, built in here")
        for kind in ("Function", "Task")
        for name in ("mysql-*", "mariadb-*", "postgres-*", "mongodb-*", "redis-*")
    ),
    Wanted("ClusterRole/stash-restore-*", "*", "Stash makes them with its first restore"),
    Wanted("ClusterRole/stash-vs-*", "*", "Stash makes it with its first VolumeSnapshots"),
    Wanted("ClusterRole/stash-hooks", "*", "in Stash every sidecar may exec; here only for hooks"),
    Wanted("ClusterRole/tandem-operator", "*", "in Stash a matter of its Helm chart"),
    Wanted("ServiceAccount/*", "*", SHARED),
    Wanted("RoleBinding/*", "*", SHARED),
    Wanted("ClusterRole/*", "rules*", LEAST),
    Wanted("ClusterRole/*", "metadata.labels.*", "not those of whichever batch came first (10.46)"),
)


def documents(name: str) -> Iterator[dict[str, Any]]:
    for found in yaml.safe_load_all((HERE / name).read_text()):
        if found:
            yield found


def input_of(kind: str, name: str) -> dict[str, Any]:
    found = next(
        d for d in documents("input.yaml") if d["kind"] == kind and d["metadata"]["name"] == name
    )
    found["metadata"]["uid"] = "UID"
    return found


def invoker() -> Invoker:
    return decode_invoker(input_of("BackupBatch", BATCH), unknown="ignore")


def repository() -> Repository:
    return decode(Repository, input_of("Repository", "repo"), unknown="ignore")


def overlaid(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: overlaid(old.get(key), value) for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    return new


def built() -> Iterator[dict[str, Any]]:
    """Everything that Tandem makes of the input."""
    batch = invoker()
    yield cron_job.build(batch, resource=CRON_JOBS_V1BETA1, image=IMAGE, suspended=False)
    for index, (kind, name) in enumerate((("Deployment", "wordpress"), ("StatefulSet", "cache"))):
        workload = input_of(kind, name)
        part = sidecar.part(
            workload,
            invoker=batch,
            member=batch.members[index],
            repository=repository(),
            image=IMAGE,
        )
        applied = injection.compose(workload, part)
        whole = overlaid(workload, applied)
        del whole["metadata"]["uid"]  # a precondition, as the golden objects have none
        yield whole
        yield access.sidecar_access("demo", "default")
    session = next(documents("backupsessions.yaml"))
    session["metadata"].update(uid="UID", namespace="demo")
    functions = {f["metadata"]["name"]: f for f in catalog.functions(IMAGE)}
    tasks = {t["metadata"]["name"]: t for t in catalog.tasks()}
    yield jobs.backup(
        batch,
        2,
        repository(),
        session=session,
        host="pvc-uploads",
        task=tasks["pvc-backup"],
        functions=functions,
        image=IMAGE,
        deadline_seconds=3600,
    ).job
    yield from (*functions.values(), *tasks.values())
    yield from (*access.cron_job_access("demo"), *access.job_access("demo"))
    yield from access.CLUSTER_ROLES


def golden() -> Iterator[dict[str, Any]]:
    """Everything that Stash made of the input."""
    names = (
        "cronjobs.yaml",
        "deployments.yaml",
        "statefulsets.yaml",
        "jobs.yaml",
        "functions-tasks.yaml",
        "serviceaccounts.yaml",
        "rolebindings.yaml",
        "clusterroles.yaml",
    )
    for name in names:
        yield from documents(name)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with its path; items of lists go by name, mount path or flag."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            key, rest = _key(item, index)
            yield from flat(rest, f"{path}[{key}]")
    else:
        yield path, value


def _key(item: Any, index: int) -> tuple[str, Any]:
    if isinstance(item, str) and item.startswith("--"):
        flag, _, value = item.partition("=")
        return flag, value
    if isinstance(item, dict):
        for field in ("mountPath", "name", "uid"):
            if field in item:
                name = str(item[field])
                # A step's container is named <function>-<index>.
                return name, {k: v for k, v in item.items() if k != field or field == "mountPath"}
    return str(index), item


def by_name(objects: Iterator[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {f"{o['kind']}/{o['metadata']['name']}": dict(flat(o)) for o in objects}


@functools.cache
def differences() -> tuple[tuple[str, str, Any, Any], ...]:
    """(object, path, Stash's value, Tandem's value); an absent value is None."""
    return tuple(_differences())


def _differences() -> Iterator[tuple[str, str, Any, Any]]:
    theirs, ours = by_name(golden()), by_name(built())
    for name in sorted(theirs.keys() | ours.keys()):
        old, new = theirs.get(name, {}), ours.get(name, {})
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) != new.get(path):
                yield name, path, old.get(path), new.get(path)


def test_every_difference_from_the_real_operator_is_wanted_and_has_a_reason():
    unexplained = [
        f"{name} {path}: Stash {old!r}, Tandem {new!r}"
        for name, path, old, new in differences()
        if not any(_explains(row, name, path) for row in WANTED)
    ]
    assert not unexplained, "\n".join(unexplained)


@pytest.mark.parametrize("row", WANTED, ids=lambda row: f"{row.objects} {row.path}")
def test_no_reason_is_left_over(row):
    assert any(_explains(row, name, path) for name, path, _, _ in differences()), row.why


def _explains(row: Wanted, name: str, path: str) -> bool:
    return fnmatch.fnmatchcase(name, row.objects) and fnmatch.fnmatchcase(path, row.path)
