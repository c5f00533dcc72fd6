"""Names on the process node: Services and Pods of headless Services, as lines of ``/etc/hosts``.

Called by ``process``. There is no DNS server and no virtual address: a Service's name is the
address of its first ready Pod, so the Service's port must be the Pod's port. The files are
rewritten in place when Endpoints change, and running containers see it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.api.resources import ENDPOINTS, SERVICES, JsonObject, Key, Resource

LOCAL = "127.0.0.1 localhost\n::1 localhost\n"


class Names:
    """What the Services and Endpoints of the cluster say."""

    def __init__(self) -> None:
        self._services: dict[Key, JsonObject] = {}
        self._endpoints: dict[Key, JsonObject] = {}

    def observe(self, resource: Resource, change: str, obj: JsonObject) -> bool:
        """Take in a change; whether it was one of names."""
        table = {SERVICES: self._services, ENDPOINTS: self._endpoints}.get(resource)
        if table is None:
            return False
        if change == "DELETED":
            table.pop(Key.of(obj), None)
        else:
            table[Key.of(obj)] = obj
        return True

    def addresses(self, namespace: str) -> dict[str, str]:
        """Every name that a Pod of ``namespace`` can use, with its address."""
        found: dict[str, str] = {}
        for key in sorted(self._endpoints):
            for name, address in self._of_service(key):
                for form in _forms(name, key.namespace, short=key.namespace == namespace):
                    found[form] = address
        return found

    def variables(self, namespace: str) -> dict[str, str]:
        """What a kubelet says of Services: ``NAME_SERVICE_HOST`` and ``NAME_SERVICE_PORT``."""
        made: dict[str, str] = {}
        for key, service in sorted(self._services.items()):
            entries = list(self._of_service(key)) if key in self._endpoints else []
            if key.namespace == namespace and entries:
                prefix = key.name.upper().replace("-", "_")
                made[f"{prefix}_SERVICE_HOST"] = entries[0][1]
                for port in (service["spec"].get("ports") or ())[:1]:
                    made[f"{prefix}_SERVICE_PORT"] = str(port["port"])
        return made

    def _of_service(self, key: Key) -> Iterable[tuple[str, str]]:
        entries = [
            entry
            for subset in self._endpoints[key].get("subsets") or ()
            for entry in subset.get("addresses") or ()
        ]
        if entries and key in self._services:
            yield key.name, entries[0]["ip"]
        for entry in entries:
            if entry.get("hostname"):
                yield f"{entry['hostname']}.{key.name}", entry["ip"]


def _forms(name: str, namespace: str, *, short: bool) -> list[str]:
    full = f"{name}.{namespace}"
    forms = [full, f"{full}.svc", f"{full}.svc.cluster.local"]
    return [name, *forms] if short else forms


def write_hosts(path: Path, hostname: str, address: str, names: Mapping[str, str]) -> None:
    """Write a hosts file in place: its inode is mounted in running containers."""
    lines = [f"{ip} {name}\n" for name, ip in names.items()]
    text = LOCAL + f"{address} {hostname}\n" + "".join(lines)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
