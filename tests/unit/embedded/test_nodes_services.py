"""A container finds the Services of its namespace in its environment, as on any kubelet."""

from __future__ import annotations

from reconciler.api.resources import ENDPOINTS, SERVICES
from reconciler.embedded.nodes.services import Names


def service(name, namespace="shop"):
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"ports": [{"port": 3307}]}}


def endpoints(name, *addresses, namespace="shop"):
    subset = {"addresses": [{"ip": address} for address in addresses]}
    return {"metadata": {"name": name, "namespace": namespace}, "subsets": [subset]}


def known(*objects):
    names = Names()
    for obj in objects:
        names.observe(ENDPOINTS if "subsets" in obj else SERVICES, "ADDED", obj)
    return names.variables("shop")


def test_host_and_port_of_a_ready_service_are_told():
    assert known(service("word-press"), endpoints("word-press", "127.0.0.9")) == {
        "WORD_PRESS_SERVICE_HOST": "127.0.0.9",
        "WORD_PRESS_SERVICE_PORT": "3307",
    }


def test_services_of_other_namespaces_and_without_a_ready_pod_are_not_told():
    other = (service("db", "bank"), endpoints("db", "127.0.0.9", namespace="bank"))
    assert known(*other, service("web"), service("api"), endpoints("api")) == {}
