"""Which pod a member's hook is for, when it is not the one that this process is in.

Called by ``member_hooks`` and ``hook_job``. As in Stash, the executor of an AppBinding is the first
pod behind its Service, ready ones first. Unlike Stash the post hook goes to the pod of the pre hook
as long as that lives: a frozen database is often not ready, and thawing another one helps nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from reconciler.agent.handlers import HookFailed, Place
from reconciler.agent.turn import dict_of
from reconciler.api.app_binding import AppBinding
from reconciler.api.decoding import decode
from reconciler.api.resources import APP_BINDINGS, ENDPOINTS, PODS, JsonObject
from reconciler.cluster.port import Port
from reconciler.errors import NotFound


@attrs.define
class Behind:
    """The pod behind the Service of an AppBinding."""

    port: Port
    namespace: str
    app_binding: str
    _chosen: str = attrs.field(default="", init=False)

    def find(self) -> Place:
        """Raises HookFailed when there is none."""
        if not self._chosen or not self._lives():
            self._chosen = self._first()
        return Place(self.namespace, self._chosen)

    def _lives(self) -> bool:
        try:
            pod = self.port.get(PODS, self.namespace, self._chosen)
        except NotFound:
            return False
        return dict_of(pod.get("status")).get("phase") not in ("Succeeded", "Failed")

    def _first(self) -> str:
        what = f"no pod found for AppBinding {self.namespace}/{self.app_binding}"
        try:
            service = self._service()
            if not service:
                raise HookFailed(f"{what}: it names no Service")
            endpoints = self.port.get(ENDPOINTS, self.namespace, service)
        except NotFound as error:
            raise HookFailed(f"{what}: {error}") from error
        found = next(_pods(endpoints), "")
        if not found:
            raise HookFailed(f"{what}: Service {service} has no pod")
        return found

    def _service(self) -> str:
        obj = self.port.get(APP_BINDINGS, self.namespace, self.app_binding)
        found = decode(AppBinding, obj, unknown="ignore").spec.client_config.service
        return found.name if found else ""


def _pods(endpoints: JsonObject) -> Iterator[str]:
    """The names of the pods behind a Service, those that are ready first."""
    for state in ("addresses", "notReadyAddresses"):
        for subset in endpoints.get("subsets") or ():
            for address in subset.get(state) or ():
                target = dict_of(address.get("targetRef"))
                if target.get("kind") == "Pod":
                    yield str(target["name"])
