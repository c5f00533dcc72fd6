"""The command line of the agent: Stash's container args work as they are."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from reconciler.agent import flags, job, maintenance, process, restore_job, trigger
from reconciler.agent.main import app
from reconciler.errors import Forbidden
from reconciler.manifests import catalog
from reconciler.manifests.functions import substitute

STASH_SIDECAR = (
    "run-backup --invoker-name=shop --invoker-kind=BackupBatch --target-name=web"
    " --target-kind=Deployment --secret-dir=/etc/stash/repository/secret --enable-cache=true"
    " --max-connections=0 --metrics-enabled=true --pushgateway-url=http://x:56789"
    " --use-kubeapiserver-fqdn-for-aks=true --enable-analytics=true --logtostderr=true"
    " --alsologtostderr=false --v=3 --stderrthreshold=0"
)
STASH_UPDATE_STATUS = (
    "update-status --namespace=demo --backupsession=s --repository=repo --target-name=uploads"
    " --target-kind=PersistentVolumeClaim --restoresession= --output-dir=/tmp/output"
    " --metrics-enabled=true --metrics-pushgateway-url=http://x --prom-job-name=shop"
)
VARIABLES = {
    "TARGET_NAME": "db", "TARGET_KIND": "AppBinding", "TARGET_PATHS": "/stash-data",
    "INVOKER_NAME": "shop",
    "outputDir": "/tmp/output", "secretVolume": "v", "targetVolume": "t",
    "TARGET_MOUNT_PATH": "/stash-data", "HOSTNAME": "app-db",
}  # fmt: skip

BACKUP = {"INVOKER_KIND": "BackupBatch", "BACKUP_SESSION": "s"}
RESTORE = {
    "INVOKER_KIND": "RestoreBatch", "RESTORE_SESSION": "shop", "RESTORE_PATHS": "",
    "RESTORE_SNAPSHOTS": "latest", "SOURCE_HOSTNAME": "host-0", "EXCLUDE_PATTERNS": "*.tmp",
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, tuple]]:
    """What the commands call, with the arguments; no cluster is asked."""
    seen: list[tuple[str, tuple]] = []

    def record(name: str):
        return lambda *args, **more: seen.append((name, (*args, *more.values()))) or 0

    class Watcher:
        def __init__(self, *args) -> None:
            seen.append(("sidecar", args))

        def run(self) -> None:
            pass

    monkeypatch.setattr(process, "_connect", lambda _: "port")
    monkeypatch.setattr("reconciler.agent.process.signal.signal", lambda *_: None)
    monkeypatch.setattr("reconciler.agent.main.Sidecar", Watcher)
    monkeypatch.setattr(job, "back_up", record("back_up"))
    monkeypatch.setattr(job, "publish", record("publish"))
    monkeypatch.setattr(restore_job, "run", record("restore"))
    monkeypatch.setattr(maintenance, "init_repository", record("init"))
    monkeypatch.setattr(maintenance, "maintain", record("maintain"))
    monkeypatch.setattr(maintenance, "unlock", record("unlock"))
    monkeypatch.setattr(trigger, "create_backupsession", record("trigger"))
    return seen


def run(arguments: str | list[str], **environ: str):
    words = arguments.split() if isinstance(arguments, str) else arguments
    return CliRunner().invoke(app, words, env={"KUBE_NAMESPACE": "demo", **environ})


def test_stashs_sidecar_arguments_start_the_sidecar(calls) -> None:
    assert run(STASH_SIDECAR).exit_code == 0
    ((name, (_, tools, duty)),) = calls
    assert name == "sidecar"
    assert (duty.namespace, duty.invoker_name, duty.target.name) == ("demo", "shop", "web")
    assert (tools.secret_dir, tools.scratch_dir) == ("/etc/stash/repository/secret", "/tmp")


def test_stashs_update_status_arguments_publish(calls) -> None:
    assert run(STASH_UPDATE_STATUS).exit_code == 0
    ((name, (_, _, step)),) = calls
    assert (name, step.session, step.output_dir) == ("publish", "s", "/tmp/output")


@pytest.mark.parametrize(
    "function", catalog.functions("image"), ids=lambda f: f["metadata"]["name"]
)
def test_every_built_in_function_calls_a_command_that_takes_its_arguments(calls, function) -> None:
    faults: list = []
    name = function["metadata"]["name"]
    own = RESTORE if name.endswith("-restore") else BACKUP
    args = substitute(function["spec"]["args"], {**VARIABLES, **own}, "spec", faults)
    assert not faults
    result = run(args)
    assert (result.exit_code, result.output) == (0, "")
    called = "restore" if own is RESTORE else "back_up"
    assert calls[0][0] == ("publish" if name == "update-status" else called)


def test_the_cronjobs_arguments_create_a_session_of_the_slot(calls) -> None:
    arguments = "create-backupsession --invoker-name=shop --invoker-kind=BackupBatch"
    assert run(arguments, JOB_NAME="stash-backup-shop-1").exit_code == 0
    ((_, (_, order, _)),) = calls
    assert order == trigger.Order("demo", "BackupBatch", "shop", "stash-backup-shop-1")


@pytest.mark.parametrize(
    ("command", "called"),
    [
        ("init-repository", "init"),
        ("maintain --backupsession=s --host a --host b", "maintain"),
        ("unlock", "unlock"),
    ],
)
def test_the_commands_of_a_repository_take_what_their_jobs_pass(calls, command, called) -> None:
    arguments = (
        f"{command} --repository=repo --namespace=ns --secret-dir=/etc/repository/secret"
        " --scratch-dir=/tmp --enable-cache=false --max-connections=0"
    )
    assert run(arguments).exit_code == 0
    ((name, args),) = calls
    assert (name, args[2], args[3]) == (called, "ns", "repo")
    assert args[1].enable_cache is False
    if called == "maintain":
        assert args[4:] == ("s", ["a", "b"])


@pytest.mark.parametrize("word", ["--no-such-flag", "--no-such=1", "stray"])
def test_what_is_not_known_is_refused_by_name(calls, word) -> None:
    result = run(f"{STASH_UPDATE_STATUS} {word}")
    assert result.exit_code == 2
    assert word.partition("=")[0] in result.output
    assert calls == []


def test_ignored_flags_may_have_their_value_in_the_next_word(calls) -> None:
    assert run(f"{STASH_UPDATE_STATUS} --prom-job-name shop --v 3").exit_code == 0


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("", True), ("1", True), ("False", False), ("0", False)]
)
def test_a_boolean_is_read_as_go_writes_it(text, value) -> None:
    assert flags.truth(text) is value


def test_a_boolean_that_is_none_is_a_usage_error(calls) -> None:
    assert run(f"{STASH_SIDECAR} --enable-cache=maybe").exit_code == 2


def test_a_known_error_is_one_line_and_exit_code_1(calls, monkeypatch, capsys) -> None:
    def forbidden(*_):
        raise Forbidden("backupsessions is forbidden")

    monkeypatch.setattr(job, "publish", forbidden)
    assert run(STASH_UPDATE_STATUS).exit_code == 1


def test_a_defect_is_told_by_its_place_and_never_by_its_text(calls, monkeypatch, caplog) -> None:
    canary = "-".join(("canary", "word"))

    def defect(*_):
        raise RuntimeError(canary)

    monkeypatch.setattr(job, "publish", defect)
    result = run(STASH_UPDATE_STATUS)
    assert result.exit_code == 1
    assert "a defect in the agent: RuntimeError" in caplog.text
    assert canary not in caplog.text + result.output


def test_a_broken_root_map_is_a_usage_error(calls) -> None:
    assert run(STASH_SIDECAR, TANDEM_ROOT_MAP="{").exit_code == 2


def test_every_command_has_help() -> None:
    for command in app.registered_commands:
        assert run(f"{command.name} --help").exit_code == 0
    assert os.environ.get("KUBE_NAMESPACE") != "demo"
