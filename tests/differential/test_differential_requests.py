"""The embedded server answers as a real Kubernetes does: the same requests, the same answers.

The cases are the YAML files in ``cases/``; each is a story of requests in one namespace. A step has
a sentence as name (``does``), a method with a path, and perhaps ``query``, ``body``, ``type``
(of a patch), ``accept``, ``save`` (its answer can be named by later steps as ``${name.path}``),
``drop`` (fields that are not compared), ``only`` (what alone is compared) and ``not_compared`` (the
reason; the request is sent to both all the same).

Not compared: uids, resourceVersions, times, addresses, and what 1.20's admission and controllers
add to objects after the request (see ``NOISE`` below).
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import time  # noqa: TID251 -- a real server takes real time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from reconciler.cluster import transport

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
TYPES = {
    "merge": transport.MERGE_PATCH,
    "json": transport.JSON_PATCH,
    "strategic": transport.STRATEGIC_MERGE_PATCH,
    "apply": transport.APPLY_PATCH,
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "WATCH")
VOLATILE = {"uid", "resourceVersion", "selfLink", "time", "clusterIP", "clusterIPs", "continue"}
TIMES = {"creationTimestamp", "deletionTimestamp", "lastTransitionTime"}
NOISE = {
    "kubernetes.io/pvc-protection",  # nothing protects claims in the embedded cluster
    "kubernetes.io/metadata.name",  # a label of later servers
    "deprecated.daemonset.template.generation",  # an annotation for clients of 2017
    "deployment.kubernetes.io/revision",  # the real controller may have written it already
}
WORKLOADS = {"Deployment", "Job", "CronJob", "ReplicaSet", "StatefulSet", "DaemonSet",
             "ReplicationController", "PersistentVolumeClaim",
             "CustomResourceDefinition"}  # fmt: skip
AGE = re.compile(r"^\d+s$")
"""A cell of a table; one server may have been slower than the other."""
STORIES = {
    path.stem: yaml.safe_load(path.read_text()) for path in sorted(HERE.glob("cases/*.yaml"))
}


class Teller:
    """Tells the stories to both servers and remembers the answers."""

    def __init__(self, real: Any, embedded: Any) -> None:
        self.servers = (real, embedded)
        self.told: dict[str, list[tuple[Any, Any]]] = {}

    def answers(self, story: str) -> list[tuple[Any, Any]]:
        if story not in self.told:
            found = [
                list(tell(STORIES[story], f"t{os.getpid()}-{story}", server))
                for server in self.servers
            ]
            self.told[story] = list(zip(*found, strict=True))
        return self.told[story]


def tell(story: dict[str, Any], namespace: str, server: Any) -> Iterator[Any]:
    server.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}}, JSON)
    _await_account(server, namespace)
    if story.get("crds"):
        _install(server)
    saved: dict[str, Any] = {}
    for step in story["steps"]:
        answer = ask(server, story["base"], namespace, step, saved)
        if "save" in step:
            saved[step["save"]] = answer.body
        yield answer


JSON = {"Content-Type": "application/json"}


def _await_account(server: Any, namespace: str) -> None:
    """A real server admits no Pods before the namespace's service account has its token."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    for _ in range(100 if server.old else 0):
        if server.request("GET", path, None, {}).body.get("secrets"):
            return
        time.sleep(0.1)  # another machine's progress: there is nothing to wait on


def _install(server: Any) -> None:
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        server.request("POST", CRDS, crd, JSON)
    for _ in range(100):
        found = server.request("GET", "/apis/stash.appscode.com/v1beta1", None, {})
        if found.status == 200 and len(found.body["resources"]) >= 6:
            time.sleep(1 if server.old else 0)  # discovery is ahead of the handlers
            return
        time.sleep(0.1)


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def ask(server: Any, base: str, namespace: str, step: dict[str, Any], saved: Any) -> Any:
    step = json.loads(_filled(json.dumps(step), namespace, saved))
    method = next(name for name in METHODS if name in step)
    path = step[method]
    if not path.startswith("/api"):
        path = base.replace("{ns}", namespace) + path
    query = dict(step.get("query", {}))
    headers = {"Accept": step.get("accept", "application/json")}
    if "body" in step:
        headers["Content-Type"] = TYPES.get(step.get("type", ""), step.get("type", transport.JSON))
    if method == "WATCH":
        method, query = "GET", {**query, "watch": "true", "timeoutSeconds": "1"}
    if query:
        path += "?" + urllib.parse.urlencode(query)
    answer = _sent(server, method, path, step.get("body"), headers)
    if server.old:
        time.sleep(step.get("settle", 0))
    return answer


def _filled(text: str, namespace: str, saved: dict[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        place: Any = saved
        for part in match[1].split("."):
            place = place[part]
        return str(place)

    return re.sub(r"\$\{([\w.]+)\}", value, text.replace("{ns}", namespace))


def _sent(server: Any, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
    """The answer; a 1.20 server is asked for (and answers with) its own version of CronJobs."""
    if not (server.old and "/cronjobs" in path):
        return server.request(method, path, body, headers)
    text = json.dumps(body).replace("batch/v1", "batch/v1beta1")
    path = path.replace("batch/v1", "batch/v1beta1")
    answer = server.request(method, path, json.loads(text), headers)
    text = json.dumps(answer.body).replace("v1beta1", "v1")
    return type(answer)(answer.status, json.loads(text))


def comparable(value: Any, drop: set[str]) -> Any:
    """What is left of an answer when the noise is taken out."""
    if isinstance(value, list):
        return [comparable(item, drop) for item in value if item not in ({}, *NOISE)]
    if not isinstance(value, dict):
        return value
    found = {
        key: comparable(part, drop)
        for key, part in value.items()
        if key not in VOLATILE | NOISE | drop and not (key in TIMES and part is not None)
    }
    return _tidy(value, found)


def _tidy(value: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if value.get("kind") in WORKLOADS and "spec" in value:
        found.pop("status", None)
    if isinstance(found.get("spec"), dict) and "containers" in found["spec"]:
        _without_token(value["spec"], found["spec"])
    if isinstance(found.get("cells"), list):
        found["cells"] = [AGE.sub("an age", str(cell)) for cell in found["cells"]]
    for name in ("controller-uid", "f:controller-uid"):
        if name in found:
            found[name] = "U"
    if "managedFields" in found:
        found["managedFields"] = _managed(found["managedFields"])
    if len(found.get("causes", ())) > 1:
        found["causes"] = sorted(found["causes"], key=json.dumps)
    if len((value.get("details") or {}).get("causes") or ()) > 1:
        found.pop("message", None)  # the same in another order
    for name in ("finalizers", "labels", "annotations"):
        if found.get(name) in ([], {}):
            del found[name]
    return found


def _without_token(before: dict[str, Any], spec: dict[str, Any]) -> None:
    """Without the service account's token, which 1.20's admission mounts everywhere."""
    places = [(before, spec, "volumes")]
    for key in ("containers", "initContainers"):
        pairs = zip(before.get(key, ()), spec.get(key, ()), strict=True)
        places += [(was, now, "volumeMounts") for was, now in pairs]
    for was, now, key in places:
        kept = [
            item
            for item, whole in zip(now.get(key, ()), was.get(key, ()), strict=True)
            if "-token-" not in whole.get("name", "")
        ]
        if kept:
            now[key] = kept
        else:
            now.pop(key, None)


def _managed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a manager: 1.20 does not keep the status subresource apart."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        if entry.get("manager") != "kube-controller-manager":
            key = entry["operation"], entry["manager"]
            found[key] = _united(found.get(key, {}), entry)
    for entry in found.values():
        entry.pop("subresource", None)
    return [found[key] for key in sorted(found)]


def _united(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = {**left, **right}
    for key in left.keys() & right.keys():
        if isinstance(left[key], dict):
            both[key] = _united(left[key], right[key])
    return both


def selected(answer: Any, only: str) -> dict[str, Any]:
    """The parts of an answer that a step wants compared."""
    body = answer.body if isinstance(answer.body, dict) else {}
    causes = (body.get("details") or {}).get("causes") or []
    parts = {
        "status": answer.status,
        "reason": body.get("reason"),
        "causes": sorted(map(json.dumps, causes)),
        "causes.field": sorted(cause.get("field", "") for cause in causes),
    }
    return {name: parts[name] for name in only.split()}


def steps() -> list[Any]:
    found = []
    for story, told in STORIES.items():
        for index, step in enumerate(told["steps"]):
            if "not_compared" not in step:
                name = f"{story}: {step['does']}".replace(" ", "_")
                found.append(pytest.param(story, index, id=name))
    return found


@pytest.fixture(scope="module")
def teller(real_cluster: Any, embedded: Any) -> Teller:
    return Teller(real_cluster, embedded)


@pytest.mark.parametrize(("story", "index"), steps())
def test_both_servers_answer_alike(story: str, index: int, teller: Teller) -> None:
    step = STORIES[story]["steps"][index]
    real, embedded = teller.answers(story)[index]
    if "only" in step:
        assert selected(embedded, step["only"]) == selected(real, step["only"])
    else:
        drop = {*STORIES[story].get("drop", ()), *step.get("drop", ())}
        assert (embedded.status, comparable(embedded.body, drop)) == (
            real.status,
            comparable(real.body, drop),
        )


def test_there_are_enough_cases() -> None:
    assert sum(len(story["steps"]) for story in STORIES.values()) >= 100
