"""The embedded server over HTTP: the ``kubernetes`` package, raw clients, streams."""

from __future__ import annotations

import http.client
import json
import pathlib
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch

from reconciler.cluster.transport import Request
from reconciler.embedded.http import HttpServer
from reconciler.embedded.server import Server
from reconciler.engine.clock import SystemClock
from reconciler.errors import ApiUnavailable

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def server() -> Server:
    return Server(SystemClock())


@pytest.fixture
def served(server: Server) -> Iterator[HttpServer]:
    found = HttpServer(server)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def api(served: HttpServer, tmp_path: pathlib.Path) -> Iterator[client.CoreV1Api]:
    served.write_kubeconfig(tmp_path / "config")
    with config.new_client_from_config(str(tmp_path / "config")) as found:
        yield client.CoreV1Api(found)


def create(server: Server, name: str) -> None:
    body = {"metadata": {"name": name}, "data": {"k": "v"}}
    assert server.send(Request("POST", CONFIG_MAPS, body=body)).status == 201


def test_the_kubernetes_package_reads_and_writes(api: Any, server: Server) -> None:
    body = {"metadata": {"name": "a"}, "data": {"k": "v"}}
    assert api.create_namespaced_config_map("default", body).metadata.name == "a"
    api.patch_namespaced_config_map("a", "default", {"data": {"k": "w"}})
    assert server.send(Request("GET", f"{CONFIG_MAPS}/a")).body["data"] == {"k": "w"}
    with pytest.raises(client.ApiException, match='configmaps \\\\"b\\\\" not found'):
        api.read_namespaced_config_map("b", "default")


def test_protobuf_is_refused_with_a_way_out(server: Server, served: HttpServer) -> None:
    request = urllib.request.Request(
        f"{served.url}{CONFIG_MAPS}",
        data=b"k8s\0",
        headers={"Content-Type": "application/vnd.kubernetes.protobuf"},
    )
    with pytest.raises(urllib.error.HTTPError, match="415") as refused:
        urllib.request.urlopen(request)
    assert "kubectl apply" in json.load(refused.value)["message"]
    refused.value.close()


def test_the_kubernetes_package_watches(api: Any, server: Server) -> None:
    create(server, "a")
    stream = watch.Watch().stream(api.list_namespaced_config_map, "default", timeout_seconds=30)
    seen = [next(stream)["object"].metadata.name]
    create(server, "b")
    seen.append(next(stream)["object"].metadata.name)
    stream.close()
    assert seen == ["a", "b"]


def test_a_watch_answers_before_anything_happens(served: HttpServer) -> None:
    query = "?watch=true&timeoutSeconds=1&resourceVersion=0"
    with urllib.request.urlopen(served.url + CONFIG_MAPS + query, timeout=10) as reply:
        assert reply.status == 200
        assert reply.read() == b""


def test_one_connection_serves_many_requests(served: HttpServer) -> None:
    host = served.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    for _ in range(50):
        connection.request("GET", CONFIG_MAPS)
        assert json.loads(connection.getresponse().read())["kind"] == "ConfigMapList"
    connection.close()


def test_a_body_that_is_no_json_is_a_bad_request(served: HttpServer) -> None:
    request = urllib.request.Request(served.url + CONFIG_MAPS, b"{", method="POST")
    request.add_header("Content-Type", "application/json")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as error:
        assert json.loads(error.read())["reason"] == "BadRequest"


def test_a_reply_that_an_interceptor_loses_is_lost_to_the_client(
    served: HttpServer, server: Server
) -> None:
    def lossy(request: Request, proceed: Any) -> Any:
        proceed(request)
        raise ApiUnavailable("lost")

    undo = server.intercept(lossy)
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=10)
    connection.request("POST", CONFIG_MAPS, json.dumps({"metadata": {"name": "a"}}))
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()
    undo()
    assert server.send(Request("GET", f"{CONFIG_MAPS}/a")).status == 200


def test_a_followed_log_arrives_while_it_is_written(served: HttpServer, server: Server) -> None:
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    body = {"metadata": {"name": "p"}, "spec": spec}
    server.send(Request("POST", "/api/v1/namespaces/default/pods", body=body))
    go_on = threading.Event()

    def log(namespace: str, pod: str, container: str, follow: bool) -> Iterator[bytes]:
        yield b"one\n"
        assert go_on.wait(10)
        yield b"two\n"

    server.on_logs(log)
    url = f"{served.url}/api/v1/namespaces/default/pods/p/log?follow=true"
    with urllib.request.urlopen(url, timeout=10) as reply:
        assert reply.readline() == b"one\n"
        go_on.set()
        assert reply.readline() == b"two\n"


def test_a_port_that_is_taken_is_said_at_start(served: HttpServer, server: Server) -> None:
    port = int(served.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address"):
        HttpServer(server, port=port).start()


def test_stop_ends_open_watches_and_can_be_called_again(server: Server) -> None:
    served = HttpServer(server)
    served.start()
    url = f"{served.url}{CONFIG_MAPS}?watch=true&resourceVersion=0"
    with urllib.request.urlopen(url, timeout=10) as reply:
        served.stop()
        assert reply.read() == b""
    served.stop()


def test_the_kubeconfig_is_for_its_owner_only(served: HttpServer, tmp_path: pathlib.Path) -> None:
    served.write_kubeconfig(tmp_path / "config")
    assert stat.S_IMODE((tmp_path / "config").stat().st_mode) == 0o600
