"""One call of an admission webhook, over TLS: where it is, whom to trust, how long to wait.

For ``webhooks``. Whatever goes wrong is ``Failed``, in words close to the real server's: what then
becomes of the write is the webhook's ``failurePolicy``.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import orjson

from reconciler.api.resources import ENDPOINTS, JsonObject
from reconciler.cluster.transport import Request, Response

_SECONDS: Final = 10


class Failed(Exception):  # noqa: N818 -- a state of the call
    """There is no answer that can be used."""


@attrs.frozen
class Call:
    """An AdmissionReview, and who is to answer it."""

    review: JsonObject
    name: str
    """The host that the certificate must be for."""
    address: tuple[str, int]
    path: str
    trusted: str
    """PEM; "": what this machine trusts."""
    seconds: float


def of(hook: JsonObject, review: JsonObject, proceed: Callable[[Request], Response]) -> Call:
    """The call that a webhook's ``clientConfig`` describes. Raises Failed."""
    client = hook["clientConfig"]
    bundle = base64.b64decode(client.get("caBundle") or "").decode()
    seconds = hook.get("timeoutSeconds") or _SECONDS
    service = client.get("service")
    if service is None:
        url = urlsplit(client.get("url") or "")
        host = url.hostname or ""
        return Call(review, host, (host, url.port or 443), url.path or "/", bundle, seconds)
    name = f"{service['name']}.{service['namespace']}.svc"
    address = _endpoint(service, proceed)
    return Call(review, name, address, service.get("path") or "/", bundle, seconds)


def _endpoint(service: JsonObject, proceed: Callable[[Request], Response]) -> tuple[str, int]:
    """The first ready pod behind the Service; its own ports are not told apart."""
    path = ENDPOINTS.path(service["namespace"], service["name"])
    found = proceed(Request("GET", path))
    for subset in (found.body.get("subsets") or ()) if found.status == 200 else ():
        for address in subset.get("addresses") or ():
            return str(address["ip"]), int(subset["ports"][0]["port"])
    raise Failed(f'no endpoints available for service "{service["name"]}"')


def call(asked: Call) -> JsonObject:
    """The ``response`` of the answered review. Raises Failed."""
    try:
        answer = _post(asked)
    except (OSError, http.client.HTTPException, ValueError) as error:
        host, port = asked.address
        raise Failed(f'Post "https://{host}:{port}{asked.path}": {error}') from error
    response = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(response, dict):
        raise Failed("expected webhook response of admission.k8s.io, got none")
    if response.get("uid") != asked.review["request"]["uid"]:
        raise Failed("expected response.uid to be that of the request")
    return response


def _post(asked: Call) -> Any:
    line = _Line(asked)
    try:
        body = orjson.dumps(asked.review)
        line.request("POST", asked.path, body, {"Content-Type": "application/json"})
        reply = line.getresponse()
        raw = reply.read()
    finally:
        line.close()
    if reply.status != http.HTTPStatus.OK:
        raise ValueError(f"the server answers {reply.status}: {raw[:200].decode(errors='replace')}")
    return orjson.loads(raw)


class _Line(http.client.HTTPConnection):
    """TLS to an address, checked against another name."""

    def __init__(self, asked: Call) -> None:
        super().__init__(asked.name, asked.address[1], timeout=asked.seconds)
        self._asked = asked
        self._trust = ssl.create_default_context(cadata=asked.trusted or None)

    def connect(self) -> None:
        plain = socket.create_connection(self._asked.address, self.timeout)
        try:
            self.sock = self._trust.wrap_socket(plain, server_hostname=self._asked.name)
        except BaseException:
            plain.close()
            raise
