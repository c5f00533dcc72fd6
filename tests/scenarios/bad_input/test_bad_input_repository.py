"""A Repository or its Secret is missing or wrong: the condition says what and where, a batch with
another repository is backed up meanwhile, and a session that waits goes on once it is mended."""

from __future__ import annotations

import pytest


@pytest.fixture
def other(case):
    """A good batch ``shop`` beside the bad one, which is ``wiki`` with the Repository ``bad``."""
    case.set_up("deploy/web")
    case.apply(case.deployment("pages"))
    return case


def wiki(case, **spec):
    case.apply(case.batch("deploy/pages", name="wiki", repository="bad", **spec))


def unharmed(case, session):
    """The other batch is backed up while the bad one's session waits."""
    assert case.backed_up("shop")["phase"] == "Succeeded"
    assert case.snapshots() == ["host-0"]
    assert case.get("BackupSession", session)["status"]["phase"] == "Pending"


def healed(case, session, **how):
    """The very session that had to wait succeeds, without anybody touching it."""
    assert case.ended(session)["phase"] == "Succeeded"
    assert case.snapshots(repository="bad", **how) == ["host-0"]


def waiting(case, session):
    """What the waiting target says."""
    found = case.wait("BackupSession", session, lambda obj: "targets" in (obj.get("status") or {}))
    return case.told(found["status"], "pages")


def test_a_missing_repository_is_named_and_one_that_comes_is_used(other):
    wiki(other)
    place = other.name
    found = other.condition("BackupBatch", "wiki", "RepositoryFound", "False")
    assert (found["reason"], found["message"]) == (
        "RepositoryNotAvailable",
        (
            f"Repository {place}/bad does not exist; create it, or name another one in "
            "spec.repository.name"
        ),
    )
    session = other.trigger("wiki")
    assert waiting(other, session) == ("WaitingForRepository", "Repository bad does not exist.")
    unharmed(other, session)
    other.apply(other.repository("bad"))
    healed(other, session)
    other.condition("BackupBatch", "wiki", "RepositoryFound", "True")


def test_a_missing_secret_is_named_and_one_that_comes_is_used(other):
    other.apply(other.repository("bad", secret="keys"))
    wiki(other)
    message = (
        f"Secret {other.name}/keys does not exist; create it with the key RESTIC_PASSWORD, "
        "or name another one in spec.backend.storageSecretName of Repository bad"
    )
    for kind, name in (("BackupBatch", "wiki"), ("Repository", "bad")):
        found = other.condition(kind, name, "BackendSecretFound", "False")
        assert (found["reason"], found["message"]) == ("BackendSecretNotAvailable", message)
    session = other.trigger("wiki")
    assert waiting(other, session) == (
        "WaitingForRepository", f"Repository bad is Pending: {message}."
    )  # fmt: skip
    unharmed(other, session)
    other.apply(other.secret("keys"))
    healed(other, session)
    other.condition("BackupBatch", "wiki", "BackendSecretFound", "True")


def test_a_secret_without_a_password_is_named_and_a_key_that_is_added_is_used(other):
    other.apply(other.secret("keys", PASSWORD="x"), other.repository("bad", secret="keys"))
    wiki(other)
    message = (
        f"Secret {other.name}/keys has no key RESTIC_PASSWORD; add it, "
        "or name another one in spec.backend.storageSecretName of Repository bad"
    )
    for kind, name in (("BackupBatch", "wiki"), ("Repository", "bad")):
        found = other.condition(kind, name, "BackendSecretFound", "False")
        assert (found["reason"], found["message"]) == ("BackendSecretNotAvailable", message)
    session = other.trigger("wiki")
    unharmed(other, session)
    other.apply(other.secret("keys"))
    healed(other, session)


def test_a_wrong_password_is_named_and_a_corrected_one_is_used(other):
    other.apply(other.secret("keys"), other.repository("bad", secret="keys"))
    other.restic("init", repository="bad", password="of-old")
    wiki(other)
    message = (
        "Failed to initialize backend repository. Reason: looking for the repository failed: "
        "Fatal: wrong password or no key found; "
        f"correct Secret {other.name}/keys, key RESTIC_PASSWORD"
    )
    found = other.condition("Repository", "bad", "BackendRepositoryInitialized", "False")
    assert (found["reason"], found["message"]) == (
        "FailedToInitializeBackendRepository",
        message,
    )
    other.is_phase("Repository", "bad", "Failed")
    session = other.trigger("wiki")
    assert waiting(other, session) == (
        "WaitingForRepository", f"Repository bad is Failed: {found['message']}."
    )  # fmt: skip
    unharmed(other, session)
    other.apply(other.secret("keys", RESTIC_PASSWORD="of-old"))
    healed(other, session, password="of-old")
    other.condition("Repository", "bad", "BackendRepositoryInitialized", "True")
