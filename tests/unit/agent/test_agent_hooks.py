"""Hooks: what a handler does, and what is promised about the two around a piece of work."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from reconciler.agent import hook_actions, hooks
from reconciler.agent.handlers import HookFailed, HookRunner, Place
from reconciler.agent.hooks import Pair, around
from reconciler.agent.redaction import Redactor
from reconciler.api import resources as r
from reconciler.api.decoding import decode
from reconciler.api.runtime import Handler
from reconciler.errors import TimedOut
from tests.unit.agent.conftest import Cluster, pod_environ, tools_for


class Receiver:
    """A small HTTP server that remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, str]] = []
        receiver = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver._answer(self)

            def do_POST(self) -> None:
                receiver._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.gate = threading.Event()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, asked: http.server.BaseHTTPRequestHandler) -> None:
        body = asked.rfile.read(int(asked.headers.get("Content-Length") or 0)).decode()
        kind = asked.headers.get("Content-Type") or ""
        self.seen.append((asked.command, asked.path, kind, body))
        if asked.path == "/slow":
            self.gate.wait(20)
        code = int(asked.path.partition("code=")[2] or 200)
        if asked.path.startswith("/away"):
            code = 302
        asked.send_response(code)
        if asked.path.startswith("/away/here"):
            asked.send_header("Location", "/landed")
        elif asked.path.startswith("/away/round"):
            asked.send_header("Location", "/away/round")
        elif asked.path.startswith("/away"):
            asked.send_header("Location", "http://elsewhere.example/landed")
        asked.end_headers()
        asked.wfile.write(f"no: {asked.headers.get('Authorization')} {body}".encode())

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


@pytest.fixture
def runner(cluster: Cluster, tmp_path: Path) -> HookRunner:
    """For a pod ``web-abc`` with the application's container ``app``, seen from the sidecar."""
    cluster.put(
        r.PODS,
        {
            "metadata": {"name": "web-abc"},
            "spec": {
                "containers": [
                    {
                        "name": "app",
                        "image": "i",
                        "ports": [{"name": "web", "containerPort": 8080}],
                    },
                    {"name": "stash", "image": "i"},
                ]
            },
            "status": {"podIP": "127.0.0.1"},
        },
    )
    tools = tools_for(tmp_path, pod_environ(tmp_path))
    return HookRunner(cluster.port, tools, Place.beside("demo", "web-abc", "stash"))


def handler(**fields: Any) -> Handler:
    return decode(Handler, fields)


def shell(script: str, container: str = "stash") -> Handler:
    return handler(exec={"command": ["sh", "-c", script]}, containerName=container)


def failure(runner: HookRunner, what: Handler, **more: Any) -> str:
    with pytest.raises(HookFailed) as caught:
        runner.run(what, **more)
    return str(caught.value)


# -- exec -----------------------------------------------------------------------------------------


def test_exec_in_our_own_container_is_a_local_process(runner: HookRunner, tmp_path: Path) -> None:
    runner.run(shell(f"echo $POD_NAME > {tmp_path}/said"))

    assert (tmp_path / "said").read_text() == "web-abc\n"


def test_a_command_that_fails_is_told_with_its_code_and_its_last_words(runner: HookRunner) -> None:
    told = failure(runner, shell("echo the disk is full >&2; exit 3"))

    assert told == (
        'failed to execute "exec" probe. Error: command terminated with exit code 3.'
        " Response: the disk is full"
    )


def test_the_exit_code_alone_decides(runner: HookRunner) -> None:
    runner.run(shell("echo a warning >&2"))


def test_a_program_that_is_not_there_is_named(runner: HookRunner) -> None:
    what = handler(exec={"command": ["no-such-program"]}, containerName="stash")
    assert "no-such-program is not installed" in failure(runner, what)


@pytest.mark.parametrize("words", [["nice"], ["nice", "-n"], ["ionice", "-c"]])
def test_a_command_that_looks_like_a_priority_is_a_command(
    runner: HookRunner, words: list[str]
) -> None:
    done = around(
        runner, Pair(handler(exec={"command": words}, containerName="stash")), str, failed=bool
    )

    assert "defect" not in done.hooks.error


def test_a_command_that_hangs_is_ended(runner: HookRunner, tmp_path: Path) -> None:
    told = failure(runner, shell(f"sleep 60; touch {tmp_path}/late"), seconds=0.2)

    assert "had not ended after" in told
    assert not (tmp_path / "late").exists()


def test_a_command_that_floods_is_kept_short(runner: HookRunner) -> None:
    told = failure(runner, shell("yes | head -c 3000000; exit 1"))

    assert len(told) < 2000


def test_a_known_secret_is_not_in_the_error(runner: HookRunner) -> None:
    known = attrs.evolve(runner, redact=Redactor.of(["hunter2hunter2"]))
    told = failure(known, shell("echo password hunter2hunter2; exit 1"))

    assert "hunter2" not in told
    assert "***" in told


@attrs.frozen
class Executed:
    exit_code: int
    stdout: str = ""
    stderr: str = ""


class FakePort:
    """Answers exec, and asks the real one for the rest."""

    def __init__(self, port: Any, answer: Callable[[], Executed]) -> None:
        self._port = port
        self._exec = answer
        self.asked: list[tuple[str, str, str, tuple[str, ...], float | None]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def exec(
        self, namespace: str, pod: str, container: str, command: Any, *, timeout: float | None
    ) -> Executed:
        self.asked.append((namespace, pod, container, tuple(command), timeout))
        return self._exec()


@pytest.mark.parametrize(("named", "meant"), [("", "app"), ("other", "other")])
def test_exec_in_another_container_goes_through_the_api_server(
    runner: HookRunner, named: str, meant: str
) -> None:
    port: Any = FakePort(runner.port, lambda: Executed(0))
    attrs.evolve(runner, port=port).run(shell("sync", named), seconds=7)

    assert port.asked == [("demo", "web-abc", meant, ("sh", "-c", "sync"), 7)]


def test_a_failure_in_another_container_is_told_alike(runner: HookRunner) -> None:
    port: Any = FakePort(runner.port, lambda: Executed(2, "said", ""))
    told = failure(attrs.evolve(runner, port=port), shell("false", ""))

    assert "exit code 2. Response: said" in told


def test_an_exec_that_never_answers_is_bounded(runner: HookRunner) -> None:
    gate = threading.Event()

    def hang() -> Executed:
        gate.wait(20)
        return Executed(0)

    port: Any = FakePort(runner.port, hang)
    told = failure(attrs.evolve(runner, port=port), shell("true", ""), seconds=0.1)
    gate.set()

    assert "had not ended after" in told


def test_an_exec_that_is_given_up_by_the_client_is_told_alike(runner: HookRunner) -> None:
    def late() -> Executed:
        raise TimedOut("secret details")

    port: Any = FakePort(runner.port, late)
    told = failure(attrs.evolve(runner, port=port), shell("true", ""), seconds=30)

    assert told == 'failed to execute "exec" probe. Error: it had not ended after 30 s.'


def test_in_a_jobs_own_pod_every_container_is_this_one(runner: HookRunner, tmp_path: Path) -> None:
    alone = attrs.evolve(runner, where=Place.alone("demo", "job-pod"))
    alone.run(shell(f"touch {tmp_path}/one", ""))
    alone.run(shell(f"touch {tmp_path}/two", "pre-task-hook"))

    assert (tmp_path / "one").exists()
    assert (tmp_path / "two").exists()


def test_before_a_restore_the_application_does_not_run_yet(
    runner: HookRunner, tmp_path: Path
) -> None:
    before = attrs.evolve(runner, where=Place.before("demo", "web-abc", "stash-init"))
    before.run(shell(f"touch {tmp_path}/done", ""))

    assert (tmp_path / "done").exists()
    assert "container app does not run" in failure(before, shell("true", "app"))


# -- http and tcp ---------------------------------------------------------------------------------


def test_a_get_goes_to_the_pods_own_address(runner: HookRunner, receiver: Receiver) -> None:
    runner.run(handler(httpGet={"path": "freeze?now=1", "port": receiver.port}))

    assert receiver.seen == [("GET", "/freeze?now=1", "", "")]


def test_a_named_port_is_the_named_containers(runner: HookRunner) -> None:
    get = {"host": "127.0.0.1", "path": "/", "port": "web"}
    assert "write containerName" in failure(runner, handler(httpGet=get))
    assert "no container 'db'" in failure(runner, handler(httpGet=get, containerName="db"))
    wrong = handler(httpGet={**get, "port": "admin"}, containerName="app")
    assert "names no port 'admin'" in failure(runner, wrong)
    assert "127.0.0.1:8080" in failure(runner, handler(httpGet=get, containerName="app"))


def test_an_answer_of_400_or_more_is_a_failure(runner: HookRunner, receiver: Receiver) -> None:
    told = failure(
        runner, handler(httpGet={"path": "/token/secret?code=503", "port": receiver.port})
    )

    assert "HTTP probe failed with statuscode: 503" in told
    assert "secret" not in told


def test_what_was_sent_is_not_in_the_error(runner: HookRunner, receiver: Receiver) -> None:
    told = failure(
        runner,
        handler(
            httpPost={
                "path": "/?code=401",
                "port": receiver.port,
                "scheme": "HTTP",
                "httpHeaders": [{"name": "Authorization", "value": "Bearer abcdefgh"}],
                "body": "the-secret-body",
            }
        ),
    )

    assert "abcdefgh" not in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("more", "kind", "body"),
    [
        ({}, "", ""),
        ({"body": "hello"}, "text/plain; charset=utf-8", "hello"),
        ({"body": '{"a": 1}'}, "application/json", '{"a": 1}'),
        (
            {"body": "unused", "form": [{"key": "a", "values": ["1", "x y"]}]},
            "application/x-www-form-urlencoded",
            "a=1&a=x+y",
        ),
        (
            {"body": "x", "httpHeaders": [{"name": "content-type", "value": "text/csv"}]},
            "text/csv",
            "x",
        ),
    ],
)
def test_a_post_sends_a_form_or_a_body(
    runner: HookRunner, receiver: Receiver, more: dict[str, Any], kind: str, body: str
) -> None:
    runner.run(handler(httpPost={"path": "/hook", "port": str(receiver.port), **more}))

    assert receiver.seen == [("POST", "/hook", kind, body)]


def test_a_redirect_is_followed_on_the_same_host_only(
    runner: HookRunner, receiver: Receiver
) -> None:
    runner.run(handler(httpPost={"path": "/away/here", "port": receiver.port, "body": "x"}))
    runner.run(handler(httpGet={"path": "/away/there", "port": receiver.port}))

    assert [seen[:2] for seen in receiver.seen] == [
        ("POST", "/away/here"),
        ("GET", "/landed"),
        ("GET", "/away/there"),
    ]


def test_redirects_without_end_are_a_failure(runner: HookRunner, receiver: Receiver) -> None:
    told = failure(runner, handler(httpGet={"path": "/away/round", "port": receiver.port}))
    assert "redirects" in told


def test_a_server_that_hangs_is_given_up(runner: HookRunner, receiver: Receiver) -> None:
    slow = handler(httpGet={"path": "/slow", "port": receiver.port})
    assert 'execute "httpGet"' in failure(runner, slow, seconds=0.2)


@pytest.mark.parametrize(
    ("get", "told"),
    [
        ({"port": 1, "scheme": "FTP"}, "write HTTP or HTTPS"),
        ({"port": 1}, "refused"),
    ],
)
def test_a_request_that_cannot_be_made_is_told(
    runner: HookRunner, get: dict[str, Any], told: str
) -> None:
    assert told in failure(runner, handler(httpGet=get))


def test_a_forbidden_header_is_told_without_its_value(
    runner: HookRunner, receiver: Receiver
) -> None:
    headers = [{"name": "X", "value": "a\nsecret"}]
    told = failure(runner, handler(httpGet={"port": receiver.port, "httpHeaders": headers}))

    assert "forbidden sign" in told
    assert "secret" not in told


def test_a_certificate_is_not_verified() -> None:
    context: Any = hook_actions._connection("https", ("127.0.0.1", 1), 1)._context  # type: ignore[attr-defined]
    assert context.check_hostname is False


def test_a_connection_must_open(runner: HookRunner, receiver: Receiver) -> None:
    runner.run(handler(tcpSocket={"port": receiver.port}))

    assert 'execute "tcpSocket"' in failure(runner, handler(tcpSocket={"port": 1}))


def test_a_pod_without_an_address_or_without_being_is_named(
    runner: HookRunner, cluster: Cluster
) -> None:
    gone = attrs.evolve(runner, where=Place("demo", "gone"))
    assert "pod demo/gone is gone" in failure(gone, handler(tcpSocket={"port": 1}))
    cluster.port.update_status(r.PODS, "demo", "web-abc", lambda _: {})
    assert "no address yet" in failure(runner, handler(tcpSocket={"port": 1}))


def test_the_actions_run_in_stashs_order_until_one_fails(
    runner: HookRunner, receiver: Receiver, tmp_path: Path
) -> None:
    both = handler(
        exec={"command": ["touch", str(tmp_path / "first")]},
        httpGet={"path": "/second?code=500", "port": receiver.port},
        httpPost={"path": "/third", "port": receiver.port},
        containerName="stash",
    )
    failure(runner, both)

    assert (tmp_path / "first").exists()
    assert [seen[1] for seen in receiver.seen] == ["/second?code=500"]


# -- around ---------------------------------------------------------------------------------------


def pair(tmp_path: Path, pre: int | None, post: int | None, policy: str = "Always") -> Pair:
    def say(word: str, code: int | None) -> Handler | None:
        if code is None:
            return None
        return shell(f"echo {word} >> {tmp_path}/diary; exit {code}")

    return Pair(say("pre", pre), say("post", post), policy)


def run(runner: HookRunner, wanted: Pair, tmp_path: Path, *, bad: bool = False) -> Any:
    def work() -> str:
        with (tmp_path / "diary").open("a") as diary:
            diary.write("work\n")
        return "bad" if bad else "good"

    return around(runner, wanted, work, failed=lambda answer: answer == "bad")


def diary(tmp_path: Path) -> list[str]:
    file = tmp_path / "diary"
    return file.read_text().split() if file.exists() else []


def test_the_pre_hook_is_before_and_the_post_hook_after(runner: HookRunner, tmp_path: Path) -> None:
    done = run(runner, pair(tmp_path, 0, 0), tmp_path)

    assert diary(tmp_path) == ["pre", "work", "post"]
    assert (done.result, dict(done.hooks.said)) == (
        "good",
        {"pre": "Succeeded", "post": "Succeeded"},
    )


def test_without_hooks_there_is_nothing_to_say(runner: HookRunner, tmp_path: Path) -> None:
    done = run(runner, Pair(), tmp_path)

    assert (diary(tmp_path), dict(done.hooks.said), done.hooks.error) == (["work"], {}, "")


def test_a_failed_pre_hook_leaves_the_work_undone_and_still_has_its_post_hook(
    runner: HookRunner, tmp_path: Path
) -> None:
    done = run(runner, pair(tmp_path, 1, 2), tmp_path)

    assert diary(tmp_path) == ["pre", "post"]
    assert done.result is None
    assert dict(done.hooks.said) == {"pre": "Failed", "post": "Failed"}
    assert "exit code 1" in done.hooks.error
    assert "exit code 2" in done.hooks.error


@pytest.mark.parametrize(
    ("policy", "pre", "bad", "runs"),
    [
        ("Always", 0, False, True),
        ("Always", 0, True, True),
        ("Always", 1, False, True),
        ("OnSuccess", 0, False, True),
        ("OnSuccess", 0, True, False),
        ("OnSuccess", 1, False, False),
        ("OnFailure", 0, False, False),
        ("OnFailure", 0, True, True),
        ("OnFailure", 1, False, True),
        ("OnFinalRetryFailure", 0, False, False),
        ("OnFinalRetryFailure", 0, True, True),
        ("OnFinalRetryFailure", 1, False, True),
    ],
)
def test_the_policy_says_whether_the_post_hook_runs(  # noqa: PLR0917 -- a table
    runner: HookRunner, tmp_path: Path, policy: str, pre: int, bad: bool, runs: bool
) -> None:
    done = run(runner, pair(tmp_path, pre, 0, policy), tmp_path, bad=bad)

    assert done.hooks.post == ("Succeeded" if runs else "Skipped")
    assert ("post" in diary(tmp_path)) is runs


def test_on_final_retry_failure_waits_for_the_last_try(runner: HookRunner, tmp_path: Path) -> None:
    wanted = attrs.evolve(pair(tmp_path, None, 0, "OnFinalRetryFailure"), retry_left=True)

    assert run(runner, wanted, tmp_path, bad=True).hooks.post == "Skipped"


def test_a_post_hook_runs_though_the_work_breaks(runner: HookRunner, tmp_path: Path) -> None:
    def work() -> str:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError):
        around(runner, pair(tmp_path, 0, 0), work, failed=lambda _: False)

    assert diary(tmp_path) == ["pre", "post"]


def test_a_post_hook_runs_though_our_pod_is_being_stopped(
    runner: HookRunner, tmp_path: Path
) -> None:
    def work() -> str:
        runner.tools.stop.set()
        return "bad"

    around(runner, pair(tmp_path, 0, 0), work, failed=lambda _: True)

    assert diary(tmp_path) == ["pre", "post"]


def test_a_post_hook_that_fails_in_a_dying_pod_stays_owed(
    runner: HookRunner, tmp_path: Path
) -> None:
    def work() -> str:
        runner.tools.stop.set()
        return "bad"

    done = around(runner, pair(tmp_path, 0, 1), work, failed=lambda _: True)

    assert dict(done.hooks.said) == {"pre": "Succeeded"}
    assert "exit code 1" in done.hooks.error


def test_a_post_hook_runs_though_the_deadline_has_passed(
    runner: HookRunner, tmp_path: Path
) -> None:
    past = runner.tools.clock.now()
    done = around(
        runner, pair(tmp_path, 0, 0), lambda: "good", failed=lambda _: False, deadline=past
    )

    assert diary(tmp_path)[-1] == "post"
    assert done.result is None
    assert done.hooks.pre == hooks.FAILED


def test_a_defect_in_a_hook_is_a_failed_hook(runner: HookRunner, tmp_path: Path) -> None:
    def broken() -> Executed:
        raise KeyError("x")

    port: Any = FakePort(runner.port, broken)
    wanted = attrs.evolve(pair(tmp_path, None, 0), pre=shell("true", ""))
    done = run(attrs.evolve(runner, port=port), wanted, tmp_path)

    assert done.hooks.pre_error == "a defect in the agent: KeyError"
    assert diary(tmp_path) == ["post"]
