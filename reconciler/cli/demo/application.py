"""The demo's manifests: package data with a few blanks to fill in.

Called by ``story``. The manifests are what a user would write; the blanks are a free port (another
MariaDB may run on this machine), passwords made up for this run, and names of snapshots.
"""

from __future__ import annotations

import secrets
import socket
from importlib import resources as package
from typing import Final

import attrs

from reconciler.api import resources
from reconciler.api.resources import JsonObject, Resource
from reconciler.cli import documents
from reconciler.cluster.port import Port

NAMESPACE: Final = "demo"
BATCH: Final = "wordpress"
APPLICATION: Final = "1-application.yaml"
BACKUP: Final = "2-backup.yaml"
RESTORE: Final = "3-restore.yaml"

_RESOURCES: Final = {
    (value.api_version, value.kind): value
    for value in vars(resources).values()
    if isinstance(value, Resource)
}


@attrs.frozen
class Blanks:
    """What is filled in; ``password`` is never printed."""

    port: int
    password: str = attrs.field(repr=False)

    @classmethod
    def made_up(cls) -> Blanks:
        """A free port of 127.0.0.1 and a new password."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return cls(probe.getsockname()[1], secrets.token_urlsafe(18))


def manifests(name: str, blanks: Blanks, **more: str) -> list[JsonObject]:
    """The objects of one file. ``more`` fills in further blanks."""
    text = package.files(__package__).joinpath(name).read_text(encoding="utf-8")
    # plain replacement: the scripts in the manifests have variables of their own
    filled = text
    for key, value in {"port": str(blanks.port), "password": blanks.password, **more}.items():
        filled = filled.replace("${" + key + "}", value)
    return [document.obj for document in documents.parse(filled, name)]


def apply(port: Port, objects: list[JsonObject]) -> None:
    """What ``kubectl apply`` does."""
    for obj in objects:
        port.apply(_RESOURCES[obj["apiVersion"], obj["kind"]], obj, field_manager="kubectl")
