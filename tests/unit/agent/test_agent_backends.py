"""Where restic finds the repository of each provider, and with which variables."""

from __future__ import annotations

import pytest

from reconciler.agent.backends import access, read_secret
from reconciler.agent.surroundings import Surroundings
from reconciler.errors import InvalidObject

HERE = Surroundings()
PASSWORD = {"RESTIC_PASSWORD": "pw\n"}


def reach(backend, secret=None, here=HERE):
    repository = {
        "metadata": {"namespace": "demo", "name": "repo"},
        "spec": {"backend": {"storageSecretName": "sec", **backend}},
    }
    return access(repository, {**PASSWORD, **(secret or {})}, "/sec", here)


@pytest.mark.parametrize(
    ("backend", "secret", "location", "env"),
    [
        ({"local": {"mountPath": "/safe/", "nfs": {}}}, {"AWS_ACCESS_KEY_ID": "n"}, "/safe", {}),
        (
            {"s3": {"endpoint": "http://m:9000/", "bucket": "b", "prefix": "/a//b/"}},
            {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "k", "OTHER": "no"},
            "s3:http://m:9000/b/a/b",
            {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "k"},
        ),
        (
            {"s3": {"bucket": "b", "region": "eu-1"}},
            {},
            "s3:s3.amazonaws.com/b",
            {"AWS_DEFAULT_REGION": "eu-1"},
        ),
        (
            {"gcs": {"bucket": "b", "prefix": "/p/"}},
            {"GOOGLE_PROJECT_ID": "x", "GOOGLE_SERVICE_ACCOUNT_JSON_KEY": "{}"},
            "gs:b:/p",
            {
                "GOOGLE_PROJECT_ID": "x",
                "GOOGLE_APPLICATION_CREDENTIALS": "/sec/GOOGLE_SERVICE_ACCOUNT_JSON_KEY",
            },
        ),
        (
            {"azure": {"container": "c", "prefix": "p/q"}},
            {"AZURE_ACCOUNT_NAME": "n", "AZURE_ACCOUNT_KEY": "k"},
            "azure:c:/p/q",
            {"AZURE_ACCOUNT_NAME": "n", "AZURE_ACCOUNT_KEY": "k"},
        ),
        (
            {"swift": {"container": "c", "prefix": "/p"}},
            {"OS_AUTH_URL": "u", "OS_PASSWORD": "k", "ST_KEY": "s"},
            "swift:c://p",
            {"OS_AUTH_URL": "u", "OS_PASSWORD": "k", "ST_KEY": "s"},
        ),
        (
            {"b2": {"bucket": "b"}},
            {"B2_ACCOUNT_ID": "i", "B2_ACCOUNT_KEY": "k"},
            "b2:b:/",
            {"B2_ACCOUNT_ID": "i", "B2_ACCOUNT_KEY": "k"},
        ),
        ({"rest": {"url": "https://r:8000/x/"}}, {}, "rest:https://r:8000/x/", {}),
        (
            {"rest": {"url": "https://old@r:8000/x"}},
            {"REST_SERVER_USERNAME": "u@d", "REST_SERVER_PASSWORD": "p:/w"},
            "rest:https://u%40d:p%3A%2Fw@r:8000/x",
            {},
        ),
        (
            {"rest": {"url": "http://r/x"}},
            {"REST_SERVER_USERNAME": "u"},
            "rest:http://u@r/x",
            {},
        ),
    ],
)
def test_a_provider_has_this_location_and_these_variables(backend, secret, location, env) -> None:
    found = reach(backend, secret)
    assert found.location == location
    # the password is not trimmed: a repository of Stash was made with the newline
    assert found.env == {**env, "RESTIC_PASSWORD": "pw\n"}


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ({"gcs": {"bucket": "b", "maxConnections": 7}}, ("gs.connections=7",)),
        ({"azure": {"container": "b", "maxConnections": 7}}, ("azure.connections=7",)),
        ({"b2": {"bucket": "b", "maxConnections": 7}}, ("b2.connections=7",)),
        ({"b2": {"bucket": "b", "maxConnections": 0}}, ()),
        ({"s3": {"bucket": "b"}}, ()),
        ({"swift": {"container": "b"}}, ()),
    ],
)
def test_the_connection_limit_goes_to_the_providers_that_have_one(backend, options) -> None:
    assert reach(backend).options == options


def test_the_first_provider_in_stashs_order_wins() -> None:
    assert reach({"rest": {"url": "http://x"}, "local": {"mountPath": "/m"}}).location == "/m"


def test_a_certificate_in_the_secret_is_trusted() -> None:
    found = reach({"s3": {"bucket": "b"}}, {"CA_CERT_DATA": "pem"})
    assert found.ca_certificate == "/sec/CA_CERT_DATA"


def test_the_password_of_a_rest_server_is_not_in_what_is_displayed() -> None:
    found = reach({"rest": {"url": "http://r"}}, {"REST_SERVER_USERNAME": "u",
                                                "REST_SERVER_PASSWORD": "secret-word"})  # fmt: skip
    assert "secret-word" in found.location
    assert "secret-word" not in found.display + repr(found)


def test_without_a_password_the_error_names_object_field_and_remedy() -> None:
    repository = {
        "metadata": {"namespace": "demo", "name": "repo"},
        "spec": {"backend": {"storageSecretName": "sec", "local": {"mountPath": "/m"}}},
    }
    with pytest.raises(InvalidObject) as caught:
        access(repository, {}, "/sec", HERE)
    assert str(caught.value) == (
        "Repository demo/repo: spec.backend.storageSecretName: the Secret sec has no key"
        " RESTIC_PASSWORD; add RESTIC_PASSWORD to the Secret"
    )


def test_without_a_provider_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidObject, match=r"spec\.backend: names no provider; set one of local"):
        reach({})


def test_on_a_node_without_isolation_paths_and_services_are_translated() -> None:
    here = Surroundings.of(
        {"TANDEM_ROOT_MAP": '{"/safe": "/n/v1", "minio.demo.svc": "127.0.0.1:9009"}'}
    )
    assert reach({"local": {"mountPath": "/safe/x"}}, here=here).location == "/n/v1/x"
    found = reach({"s3": {"endpoint": "http://minio.demo.svc:9000", "bucket": "b"}}, here=here)
    assert found.location == "s3:http://127.0.0.1:9009/b"


def test_a_secret_is_read_from_its_mount_and_an_absent_one_is_empty(tmp_path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "A").write_text("x\n")
    assert read_secret(str(tmp_path)) == {"A": "x\n"}
    assert read_secret(str(tmp_path / "none")) == {}
