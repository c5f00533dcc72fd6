"""``wipe-repository``: what restic made is removed, nothing else, and not without its password."""

from __future__ import annotations

import attrs
import pytest

from reconciler.agent import wiping
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import open_workshop
from reconciler.api import resources as r


def wipe(application, tools=None, name="repo"):
    return wiping.wipe_repository(
        application.cluster.port, tools or application.tools, "demo", name
    )


@pytest.fixture
def doomed(application):
    """The repository of the application, which is to go."""
    port = application.cluster.port
    port.apply(
        r.REPOSITORIES,
        {
            "apiVersion": r.REPOSITORIES.api_version,
            "kind": "Repository",
            "metadata": {"name": "repo", "namespace": "demo"},
            "spec": {"wipeOut": True},
        },
        field_manager="user",
    )
    (application.root / "repository" / "README").write_text("of somebody else")
    return application


def condition(application):
    (found,) = application.cluster.get(r.REPOSITORIES, "repo")["status"]["conditions"]
    return found


def left(application):
    return sorted(file.name for file in (application.root / "repository").iterdir())


def test_what_restic_made_is_removed_and_everything_else_stays(doomed):
    assert "data" in left(doomed)
    assert wipe(doomed) == 0
    assert left(doomed) == ["README"]
    assert wipe(doomed) == 0, "a second try finds nothing to do"


def test_a_repository_that_is_gone_needs_nothing(doomed):
    assert wipe(doomed, name="other") == 0


def test_without_wipe_out_nothing_is_removed(application):
    before = left(application)
    assert wipe(application) == 1
    assert left(application) == before
    assert "spec.wipeOut is not set" in condition(application)["message"]


def test_with_another_password_nothing_is_removed_and_the_condition_says_why(doomed):
    (doomed.root / "secret" / "RESTIC_PASSWORD").write_text("canary-password")
    before = left(doomed)
    assert wipe(doomed) == 1
    assert left(doomed) == before
    found = condition(doomed)
    assert (found["type"], found["status"]) == ("RepositoryWiped", "False")
    assert "RESTIC_PASSWORD" in found["message"]
    assert "canary" not in found["message"]


def test_files_of_another_user_are_told_with_the_remedy(doomed, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(wiping.shutil, "rmtree", refuse)
    assert wipe(doomed) == 1
    assert "Permission denied" in condition(doomed)["message"]
    assert "config" in left(doomed), "a next try can still tell whose it is"


# -- object stores --------------------------------------------------------------------------------

SECRET = {
    "AWS_ACCESS_KEY_ID": "id",
    "AZURE_ACCOUNT_NAME": "me",
    "AZURE_ACCOUNT_KEY": "canary",
    "B2_ACCOUNT_ID": "me",
    "B2_ACCOUNT_KEY": "canary",
    "GOOGLE_SERVICE_ACCOUNT_JSON_KEY": "{}",
    "CA_CERT_DATA": "-----",
}


@pytest.mark.parametrize(
    ("backend", "place", "remote"),
    [
        (
            {"s3": {"endpoint": "http://minio:9000", "bucket": "b", "prefix": "/a//c/"}},
            "wipe:b/a/c",
            {
                "TYPE": "s3",
                "ENV_AUTH": "true",
                "PROVIDER": "Other",
                "ENDPOINT": "http://minio:9000",
            },
        ),
        (
            {"s3": {"bucket": "b", "region": "eu-1", "insecureTLS": True}},
            "wipe:b",
            {
                "TYPE": "s3",
                "ENV_AUTH": "true",
                "PROVIDER": "AWS",
                "ENDPOINT": "s3.amazonaws.com",
                "REGION": "eu-1",
            },
        ),
        (
            {"gcs": {"bucket": "b", "prefix": "p"}},
            "wipe:b/p",
            {
                "TYPE": "google cloud storage",
                "SERVICE_ACCOUNT_FILE": "SECRET/GOOGLE_SERVICE_ACCOUNT_JSON_KEY",
            },
        ),
        (
            {"azure": {"container": "c", "prefix": "p"}},
            "wipe:c/p",
            {"TYPE": "azureblob", "ACCOUNT": "me", "KEY": "canary"},
        ),
        ({"swift": {"container": "c"}}, "wipe:c", {"TYPE": "swift", "ENV_AUTH": "true"}),
        (
            {"b2": {"bucket": "b"}},
            "wipe:b",
            {"TYPE": "b2", "ACCOUNT": "me", "KEY": "canary", "HARD_DELETE": "true"},
        ),
    ],
    ids=["minio", "aws", "gcs", "azure", "swift", "b2"],
)
def test_rclone_is_told_the_place_in_its_arguments_and_the_secrets_in_its_environment(
    application, backend, place, remote
):
    folder = application.root / "secret"
    for key, value in SECRET.items():
        (folder / key).write_text(value)
    obj = {
        "metadata": {"name": "repo", "namespace": "demo"},
        "spec": {"backend": {"storageSecretName": "backend", **backend}},
    }
    shop = open_workshop(application.tools, obj)
    made = wiping.command(shop, obj, application.tools, ("data", "config"))
    assert made.argv[:7] == (
        *("rclone", "delete", place, "--include", "/data/**", "--include", "/config"),
    )
    assert ("--no-check-certificate" in made.argv) == ("insecureTLS" in str(backend))
    assert "--ca-cert" in made.argv
    assert "canary" not in " ".join(made.argv)
    prefix = "RCLONE_CONFIG_WIPE_"
    found = {
        key.removeprefix(prefix): value.replace(str(folder), "SECRET")
        for key, value in made.env.items()
        if key.startswith(prefix)
    }
    assert found == remote


def test_google_without_a_key_uses_the_account_of_the_machine(application):
    obj = {
        "metadata": {"name": "repo", "namespace": "demo"},
        "spec": {"backend": {"storageSecretName": "backend", "gcs": {"bucket": "b"}}},
    }
    shop = open_workshop(application.tools, obj)
    made = wiping.command(shop, obj, application.tools, ("data",))
    assert "RCLONE_CONFIG_WIPE_SERVICE_ACCOUNT_FILE" not in made.env


@pytest.fixture
def remote(doomed, scripts):
    """The repository in an object store, reached by programs that a test writes."""
    whole = doomed.cluster.get(r.REPOSITORIES, "repo")
    s3 = {"endpoint": "http://minio", "bucket": "b"}
    doomed.cluster.port.delete(r.REPOSITORIES, "demo", "repo")
    backend = {"storageSecretName": "backend", "s3": s3}
    doomed.cluster.put(
        r.REPOSITORIES,
        {"metadata": {"name": "repo"}, "spec": {**whole["spec"], "backend": backend}},
    )

    def with_programs(**bodies):
        for name, body in bodies.items():
            folder = scripts(name, body)
        environ = {**doomed.environ, "PATH": f"{folder}:{doomed.environ['PATH']}"}
        tools = attrs.evolve(doomed.tools, surroundings=Surroundings.of(environ))
        return doomed, tools

    return with_programs


def test_the_objects_are_deleted_in_an_order_that_a_next_try_can_follow(remote, tmp_path):
    log = tmp_path / "calls"
    application, tools = remote(restic="exit 0", rclone=f'echo "$@" >> {log}')
    assert wipe(application, tools) == 0
    calls = [line.split(" --config")[0].split() for line in log.read_text().splitlines()]
    assert [[word for word in call if word.startswith("/")] for call in calls] == [
        ["/snapshots/**", "/index/**", "/data/**", "/locks/**"],
        ["/config"],
        ["/keys/**"],
    ]
    assert all(call[:2] == ["delete", "wipe:b"] for call in calls)


def test_what_the_store_refuses_is_told(remote):
    application, tools = remote(restic="exit 0", rclone="echo AccessDenied: no >&2; exit 1")
    assert wipe(application, tools) == 1
    assert "AccessDenied: no" in condition(application)["message"]


@pytest.mark.parametrize("deaf", ["restic", "rclone"])
def test_a_wipe_that_is_stopped_says_so(remote, deaf, monkeypatch):
    application, tools = remote(restic="exit 0", rclone="exit 0")
    real = wiping.open_workshop

    def stopped(*args, **kwargs):
        shop = real(*args, **kwargs)
        run = shop.runner.run

        def ended(command, **more):
            outcome = run(command, **more)
            return attrs.evolve(outcome, ended_by="stop") if command.tool == deaf else outcome

        shop.runner.run = ended
        return shop

    monkeypatch.setattr(wiping, "open_workshop", stopped)
    assert wipe(application, tools) == 1
    assert "its pod is being stopped" in condition(application)["message"]
