"""``pods/log``: who is asked for a container's log, and how much of it is given.

Called by ``server.Server`` (in-process) and ``http`` (as a stream).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from reconciler.api.resources import JsonObject
from reconciler.embedded import refusals

_PATH = re.compile(r"^/api/v1/namespaces/(?P<namespace>[^/]+)/pods/(?P<pod>[^/]+)/log/?$")


def is_log(path: str) -> bool:
    return _PATH.match(path) is not None


def subject(path: str) -> tuple[str, str]:
    """(namespace, pod)."""
    match = _PATH.match(path)
    if match is None:
        raise refusals.no_such_resource()
    return match["namespace"], match["pod"]


def container(pod: JsonObject, query: Mapping[str, str]) -> str:
    """The container that is meant. Raises Refusal 400 when it is unknown or not said."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    regular = [item["name"] for item in spec.get("containers") or ()]
    initial = [item["name"] for item in spec.get("initContainers") or ()]
    asked = query.get("container", "")
    if not asked and len(regular) == 1:
        return str(regular[0])
    if not asked:
        choices = f"choose one of: [{' '.join(regular)}]"
        if initial:
            choices += f" or one of the init containers: [{' '.join(initial)}]"
        raise refusals.bad_request(f"a container name must be specified for pod {name}, {choices}")
    if asked not in regular and asked not in initial:
        raise refusals.bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def shown(chunks: Iterable[bytes], query: Mapping[str, str]) -> Iterator[bytes]:
    """What the query wants of a log: all of it, or its last lines (then it is not followed)."""
    wanted = query.get("tailLines")
    if wanted is None or query.get("follow") in ("true", "1"):
        return iter(chunks)
    if not wanted.isdecimal():
        raise refusals.bad_request(f"tailLines is no number: {wanted}")
    lines = b"".join(chunks).splitlines(keepends=True)
    return iter(deque(lines, maxlen=int(wanted)))
