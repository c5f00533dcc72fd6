"""What a hook can do over the network: an HTTP request, or a connection that must open.

Called by ``hooks``, which bounds the time. As in Stash: certificates are not verified, proxies are
ignored, 200 to 399 is success, and a redirect to another host is not followed and counts as
success. An error never shows a path, a header or a body: a webhook's URL is often its secret.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urljoin, urlsplit

import attrs

from reconciler.api.runtime import HTTPGetAction, HTTPHeader, HTTPPostAction
from reconciler.errors import TandemError

MOST_OUTPUT = 10 * 1024
"""So much of an answer or of a command's output is kept."""
_MOST_REDIRECTS = 10
_KEEP_METHOD = (307, 308)
_REDIRECTS = (301, 302, 303, *_KEEP_METHOD)
_IN_URL = "/%?&=:+,;@!$'()*~#[]"


class ActionFailed(TandemError):  # noqa: N818 -- reads as a state of the world
    """An action did not succeed; ``response`` is what came back, if anything did."""

    def __init__(self, message: str, response: str = "") -> None:
        self.response = response
        super().__init__(message)


@attrs.frozen
class Request:
    """One HTTP request; ``address`` is where ``url``'s host is reached."""

    method: str
    url: str = attrs.field(repr=False)
    address: tuple[str, int]
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    @property
    def where(self) -> str:
        """The URL without what may be secret."""
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def get(action: HTTPGetAction, host: str, port: int, address: tuple[str, int]) -> Request:
    """Raises ActionFailed for a scheme that is neither HTTP nor HTTPS."""
    url = _url(action.scheme, host, port, action.path)
    return Request("GET", url, address, _headers(action.http_headers))


def post(action: HTTPPostAction, host: str, port: int, address: tuple[str, int]) -> Request:
    """A form goes before a body. Raises ActionFailed as :func:`get`."""
    url = _url(action.scheme, host, port, action.path)
    body, kind = action.body.encode(), _content_type(action.body)
    if action.form:
        pairs = [(entry.key, value) for entry in action.form for value in entry.values]
        body, kind = urlencode(pairs).encode(), "application/x-www-form-urlencoded"
    own = {"Content-Type": kind} if body else {}
    given = _headers(action.http_headers)
    lowered = {name.lower() for name in given}
    kept = {name: value for name, value in own.items() if name.lower() not in lowered}
    return Request("POST", url, address, {**kept, **given}, body)


def _url(scheme: str, host: str, port: int, path: str) -> str:
    lowered = scheme.lower() or "http"
    if lowered not in ("http", "https"):
        raise ActionFailed(f"the scheme is {scheme!r}; write HTTP or HTTPS")
    shown = f"[{host}]" if ":" in host else host
    return f"{lowered}://{shown}:{port}/{quote(path.removeprefix('/'), safe=_IN_URL)}"


def _headers(given: tuple[HTTPHeader, ...]) -> dict[str, str]:
    found = {header.name: header.value for header in given}
    if "user-agent" not in {name.lower() for name in found}:
        found["User-Agent"] = "tandem-hook"
    return found


def _content_type(body: str) -> str:
    try:
        json.loads(body)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"


def send(request: Request, timeout: float) -> None:
    """Send it and follow redirects on the same host. Raises ActionFailed."""
    for _ in range(_MOST_REDIRECTS):
        status, location, text = _exchange(request, timeout)
        if not 200 <= status < 400:
            problem = f"HTTP probe failed with statuscode: {status}"
            raise ActionFailed(f"{request.where}: {problem}", text)
        target = urlsplit(urljoin(request.url, location))
        if status not in _REDIRECTS or not location:
            return
        if target.hostname != urlsplit(request.url).hostname:
            return
        request = _redirected(request, status, location)
    raise ActionFailed(f"{request.where}: stopped after {_MOST_REDIRECTS} redirects")


def _redirected(request: Request, status: int, location: str) -> Request:
    url = urljoin(request.url, location)
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    old = urlsplit(request.url)
    address = request.address if parts.netloc == old.netloc else (request.address[0], port)
    moved = attrs.evolve(request, url=url, address=address)
    if status in _KEEP_METHOD:
        return moved
    headers = {k: v for k, v in request.headers.items() if k.lower() != "content-type"}
    return attrs.evolve(moved, method="GET", body=b"", headers=headers)


def _exchange(request: Request, timeout: float) -> tuple[int, str, str]:
    """Status, Location and the beginning of the body."""
    parts = urlsplit(request.url)
    connection = _connection(parts.scheme, request.address, timeout)
    headers = dict(request.headers)
    if "host" not in {name.lower() for name in headers}:
        headers["Host"] = parts.netloc
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.request(request.method, path, body=request.body or None, headers=headers)
        answer = connection.getresponse()
        text = answer.read(MOST_OUTPUT).decode(errors="replace")
        return answer.status, answer.headers.get("Location", ""), text
    except (OSError, http.client.HTTPException) as error:
        raise ActionFailed(f"{request.where}: {_told(error)}") from None
    except ValueError:  # its text shows the header
        raise ActionFailed(f"{request.where}: a header or the path has a forbidden sign") from None
    finally:
        connection.close()


def _connection(
    scheme: str, address: tuple[str, int], timeout: float
) -> http.client.HTTPConnection:
    host, port = address
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def connect(address: tuple[str, int], shown: str, timeout: float) -> None:
    """Open a connection and close it again. Raises ActionFailed."""
    try:
        socket.create_connection(address, timeout=timeout).close()
    except OSError as error:
        raise ActionFailed(f"{shown}: {_told(error)}") from None


def _told(error: Exception) -> str:
    """The kind of a network error in words: the text of some shows what was sent."""
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
