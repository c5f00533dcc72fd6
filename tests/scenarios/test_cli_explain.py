"""``tandem explain``: what it says is what the operator decides."""

from __future__ import annotations

import pytest
from rich.console import Console

from reconciler.api.resources import BACKUP_BATCHES, BACKUP_SESSIONS, REPOSITORIES, SECRETS
from reconciler.cli import answers, explain, explanation
from reconciler.cli.live_view import LiveView
from reconciler.cluster.client import Client
from reconciler.cluster.transport import Response
from reconciler.errors import NotFound, TerminalError


def told(shop, resource, name):
    obj = shop.client.get(resource, "shop", name)
    view = LiveView(shop.client, shop.settings.field_manager)
    return explanation.explain(view, resource, obj, shop.clock.now(), shop.settings)


def way(found, machine, to, about=""):
    [line] = [m for m in found.machines if (m.machine, m.about) == (machine, about)]
    return next(arc for arc in line.ways if arc.to == to)


def web(shop, manifests, **spec):
    shop.apply(
        manifests.workload("Deployment", "front"),
        manifests.batch(manifests.member("Deployment", "front"), **spec),
    )


def test_a_batch_says_which_need_is_missing(shop, manifests):
    web(shop, manifests, repository={"name": "absent"})
    shop.cluster.settle()
    found = told(shop, BACKUP_BATCHES, "web")
    assert found.phase == found.decided == "Pending"
    assert any(wait.what == "RepositoryFound is not so" for wait in found.waits)
    assert "repository_found" in way(found, "batch", "Injecting").missing
    assert found.pending == ()


def test_a_waiting_session_says_that_the_repository_must_list_it(shop, manifests):
    web(shop, manifests)
    shop.cluster.settle()
    shop.data.deaf = {"front"}
    shop.data.create_session("shop", "BackupBatch", "web", "one")
    shop.run_to(2, 31)
    running = told(shop, BACKUP_SESSIONS, "one")
    assert running.phase == "Running"
    assert way(running, "host", "Running", "host host-0").missing == {"claimed": True}
    assert way(running, "target", "Running", "Deployment front").missing == {
        "some_host_claimed": True
    }
    assert [wait.about for wait in running.waits] == ["Deployment front"]


def test_what_it_says_comes_next_comes_next(shop, manifests):
    """The explanation is a prophecy: with the operator stopped, it tells what the operator does."""
    web(shop, manifests)
    shop.cluster.settle()
    shop.data.create_session("shop", "BackupBatch", "web", "one")
    before = told(shop, BACKUP_SESSIONS, "one")
    assert before.phase == ""
    assert before.pending == ("write the status of BackupSession one",)
    written = []

    def watch(request, proceed):
        if request.method == "PUT" and request.path.endswith("/backupsessions/one/status"):
            written.append(request.body["status"]["phase"])
        return proceed(request)

    shop.cluster.server.intercept(watch)
    shop.loop.settle()
    assert written[0] == before.decided


def test_a_finished_session_tells_what_its_phase_means_and_what_failed(shop, manifests):
    web(shop, manifests)
    shop.data.fails = {"front"}
    shop.run_to(3, 5)
    (name,) = shop.sessions()
    found = told(shop, BACKUP_SESSIONS, name)
    assert found.phase == "Failed"
    assert found.meaning
    assert any(wait.message == "disk full" for wait in found.waits)


def test_a_repository_is_explained(shop):
    found = told(shop, REPOSITORIES, "repo")
    assert found.meaning == "Nobody names it, or its Secret is missing."
    assert way(found, "repository", "Initializing").missing == {"wanted": True}


def test_what_may_not_be_read_is_said(shop, manifests):
    web(shop, manifests)
    shop.cluster.settle()

    def refuse(request, proceed):
        if request.method == "GET" and "/secrets" in request.path:
            return Response(403, {"message": "secrets is forbidden"})
        return proceed(request)

    shop.cluster.server.intercept(refuse)
    found = told(shop, REPOSITORIES, "repo")
    assert found.unread == ("secrets: secrets is forbidden",)
    assert "taken for absent" in drawn(found, shop)


def test_no_value_of_a_secret_is_kept(shop):
    view = LiveView(shop.client, "tandem")
    secret = view.get(SECRETS, "shop", "backend")
    assert set(secret["data"].values()) == {""}


def drawn(found, shop):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(answers.explanation_tree(found, shop.clock.now()))
    return captured.get()


def test_the_text_names_the_ways_on_and_what_they_lack(shop, manifests):
    web(shop, manifests)
    shop.cluster.settle()
    text = drawn(told(shop, BACKUP_BATCHES, "web"), shop)
    assert "BackupBatch shop/web  Scheduled" in text
    assert "→ Running when a session is in flight; missing: session in flight" in text


def test_objects_are_named_as_people_name_them(shop, manifests):
    web(shop, manifests)
    client: Client = shop.client
    assert explain.find(client, "shop", "web")[0] == BACKUP_BATCHES
    assert explain.find(client, "shop", "batch/web")[0] == BACKUP_BATCHES
    assert explain.find(client, "shop", "Repository/repo")[0] == REPOSITORIES
    with pytest.raises(NotFound, match="kubectl get backupsessions"):
        explain.find(client, "shop", "session/none")
    with pytest.raises(NotFound, match="RestoreSession shop/none"):
        explain.find(client, "shop", "restore/none")
    with pytest.raises(TerminalError, match="nothing to explain; use one of BackupBatch"):
        explain.find(client, "shop", "pod/x")
