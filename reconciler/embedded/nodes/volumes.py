"""The volumes of a Pod as folders of this machine.

Called by ``process``. A claim is a folder below ``<data>/volumes`` that outlives the Pod;
everything else lies below the Pod's own folder. Files of Secrets are 0600 unless the Pod says
otherwise. Files are replaced by renaming, so that a reader sees the old or the new content and
nothing between.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from reconciler.api.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    SECRETS,
    JsonObject,
    Resource,
)
from reconciler.embedded.controllers.claims import DRIVER
from reconciler.embedded.nodes import environment
from reconciler.embedded.nodes.environment import Read
from reconciler.embedded.nodes.runtime import Waiting

SECRET_MODE = 0o600
PLAIN_MODE = 0o644
_PROJECTED = ("secret", "configMap", "downwardAPI")


class Volumes:
    """Makes folders. ``data_dir`` is the node's; ``read`` fetches objects."""

    def __init__(self, data_dir: Path, read: Read) -> None:
        self._data_dir, self._read = data_dir, read

    def prepare(self, pod: JsonObject, home: Path) -> dict[str, Path]:
        """The folder (or file) of each volume by name. Raises Waiting (``FailedMount``)."""
        return {
            volume["name"]: self._folder(pod, volume, home)
            for volume in pod["spec"].get("volumes") or ()
        }

    def refresh(self, pod: JsonObject, home: Path) -> None:
        """Write the files of Secrets, ConfigMaps and the downward API again, where they changed."""
        for volume in pod["spec"].get("volumes") or ():
            if any(kind in volume for kind in (*_PROJECTED, "projected")):
                self._write_files(pod, volume, home / "volumes" / volume["name"])

    def uses(self, pod: JsonObject, resource: Resource, name: str) -> bool:
        """Whether a volume of the Pod shows this Secret or ConfigMap."""
        return any(
            (resource, name) == named
            for volume in pod["spec"].get("volumes") or ()
            for source in (volume, *(volume.get("projected") or {}).get("sources", ()))
            for named in _sources(source)
        )

    def discard(self, volume: JsonObject) -> None:
        """Remove the data of a PersistentVolume that was made here and is deleted."""
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            source = volume["spec"].get("csi") or {}
            if source.get("driver") == DRIVER:
                shutil.rmtree(self._home_of(source["volumeHandle"]), ignore_errors=True)

    def _home_of(self, handle: str) -> Path:
        return self._data_dir / "volumes" / Path(handle).name

    def _folder(self, pod: JsonObject, volume: JsonObject, home: Path) -> Path:
        folder = home / "volumes" / str(volume["name"])
        namespace = pod["metadata"].get("namespace", "")
        if volume.get("persistentVolumeClaim"):
            return self.claim(namespace, str(volume["persistentVolumeClaim"]["claimName"]))
        if volume.get("hostPath"):
            return _host_path(volume["hostPath"])
        folder.mkdir(parents=True, exist_ok=True)
        if any(kind in volume for kind in (*_PROJECTED, "projected")):
            self._write_files(pod, volume, folder)
        elif "emptyDir" not in volume and len(volume) > 1:
            kinds = ", ".join(sorted(set(volume) - {"name"}))
            raise Waiting(
                "FailedMount", f'volume "{volume["name"]}": the process node cannot mount {kinds}'
            )
        return folder

    def claim(self, namespace: str, name: str) -> Path:
        """The folder of a bound claim. Raises Waiting."""
        claim = self._read(PERSISTENT_VOLUME_CLAIMS, namespace, name)
        bound = claim["spec"].get("volumeName") if claim else None
        volume = self._read(PERSISTENT_VOLUMES, "", bound) if bound else None
        if volume is None:
            raise Waiting("FailedMount", f'persistentvolumeclaim "{name}" is not bound')
        if volume["spec"].get("hostPath"):
            return _host_path({"type": "DirectoryOrCreate", **volume["spec"]["hostPath"]})
        if volume["spec"].get("local"):
            return _host_path(volume["spec"]["local"])
        handle = (volume["spec"].get("csi") or {}).get("volumeHandle") or bound
        folder = self._home_of(str(handle))
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # nobody else may look
        folder.mkdir(exist_ok=True)
        return folder

    def _write_files(self, pod: JsonObject, volume: JsonObject, folder: Path) -> None:
        wanted: dict[str, tuple[bytes, int]] = {}
        projected = volume.get("projected")
        for source in projected.get("sources", ()) if projected else (volume,):
            default = (projected or {}).get("defaultMode")
            wanted |= self._files(pod, source, default)
        _write(folder, wanted)

    def _files(
        self, pod: JsonObject, source: JsonObject, mode: int | None
    ) -> dict[str, tuple[bytes, int]]:
        if "downwardAPI" in source:
            return _downward(pod, source["downwardAPI"], mode)
        if "secret" in source:
            reference, resource, plain = source["secret"], SECRETS, SECRET_MODE
        elif "configMap" in source:
            reference, resource, plain = source["configMap"], CONFIG_MAPS, PLAIN_MODE
        else:
            return {}  # serviceAccountToken: the containers get a kubeconfig instead
        name = reference.get("secretName") or reference.get("name", "")
        obj = self._read(resource, pod["metadata"].get("namespace", ""), name)
        if obj is None and not reference.get("optional"):
            raise Waiting("FailedMount", f'{resource.kind.lower()} "{name}" not found')
        data = environment.data_of(obj) if obj is not None else {}
        return _chosen(data, reference, reference.get("defaultMode", mode) or plain)


def _sources(source: JsonObject) -> list[tuple[Resource, str]]:
    found = []
    if source.get("secret"):
        secret = source["secret"]
        found.append((SECRETS, secret.get("secretName") or secret.get("name", "")))
    if source.get("configMap"):
        found.append((CONFIG_MAPS, source["configMap"].get("name", "")))
    return found


def _chosen(
    data: Mapping[str, bytes], reference: JsonObject, mode: int
) -> dict[str, tuple[bytes, int]]:
    items = reference.get("items")
    if items is None:
        return {name: (content, mode) for name, content in data.items()}
    missing = [item["key"] for item in items if item["key"] not in data]
    if missing and not reference.get("optional"):
        raise Waiting("FailedMount", f"references non-existent key: {missing[0]}")
    return {
        item["path"]: (data[item["key"]], item.get("mode", mode))
        for item in items
        if item["key"] in data
    }


def _downward(
    pod: JsonObject, source: JsonObject, mode: int | None
) -> dict[str, tuple[bytes, int]]:
    default = source.get("defaultMode", mode) or PLAIN_MODE
    return {
        item["path"]: (
            environment.field(pod, item["fieldRef"]["fieldPath"]).encode(),
            item.get("mode", default),
        )
        for item in source.get("items") or ()
        if "fieldRef" in item
    }


def _host_path(source: JsonObject) -> Path:
    path = Path(source["path"])
    kind = source.get("type", "")
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    if not path.exists():
        raise Waiting("FailedMount", f"hostPath {path} does not exist on this machine")
    return path


def _write(folder: Path, wanted: Mapping[str, tuple[bytes, int]]) -> None:
    """Make the folder hold exactly these files."""
    for name, (content, mode) in wanted.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise Waiting("FailedMount", f"the path {name!r} leaves the volume")
        if path.is_file() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)  # the umask must not narrow what the Pod asked for
            file.write(content)
        draft.replace(path)
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in wanted:
            path.unlink()
