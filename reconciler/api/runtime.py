"""How pods of Tandem are run, and the hooks around a backup or a restore.

Objects that Kubernetes itself defines (probes, affinity, volumes, security contexts) stay JSON:
they are handed through to the API server, which knows them better. Types only, used by the modules
of kinds beside this one and by manifests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from reconciler.api.metadata import Int32, IntOrString, LocalObjectReference
from reconciler.api.resources import JsonObject


@attrs.frozen(kw_only=True)
class Nice:
    """The CPU priority of the backup process."""

    adjustment: Int32 | None = None
    """From -20 (most favourable) to 19 (least)."""


@attrs.frozen(kw_only=True)
class IONice:
    """The I/O priority of the backup process."""

    class_: Int32 | None = attrs.field(default=None, metadata={"json": "class"})
    """0 none, 1 real time, 2 best effort, 3 idle."""
    class_data: Int32 | None = None
    """From 0 (highest) to 7, for real time and best effort."""


@attrs.frozen(kw_only=True)
class PodRuntimeSettings:
    """Settings of the pod that does the work (of a Job; a sidecar lives in the workload's pod)."""

    node_selector: Mapping[str, str] = attrs.field(factory=dict)
    service_account_name: str = ""
    service_account_annotations: Mapping[str, str] = attrs.field(factory=dict)
    automount_service_account_token: bool | None = None
    node_name: str = ""
    security_context: JsonObject | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    affinity: JsonObject | None = None
    scheduler_name: str = ""
    tolerations: tuple[JsonObject, ...] = ()
    priority_class_name: str = ""
    priority: Int32 | None = None
    readiness_gates: tuple[JsonObject, ...] = ()
    runtime_class_name: str | None = None
    enable_service_links: bool | None = None


@attrs.frozen(kw_only=True)
class ContainerRuntimeSettings:
    """Settings of the container that does the work."""

    resources: JsonObject | None = None
    liveness_probe: JsonObject | None = None
    readiness_probe: JsonObject | None = None
    lifecycle: JsonObject | None = None
    security_context: JsonObject | None = None
    nice: Nice | None = None
    ionice: IONice | None = None
    env_from: tuple[JsonObject, ...] = ()
    env: tuple[JsonObject, ...] = ()


@attrs.frozen(kw_only=True)
class RuntimeSettings:
    """How the pod and its container are run."""

    pod: PodRuntimeSettings | None = None
    container: ContainerRuntimeSettings | None = None


@attrs.frozen(kw_only=True)
class EmptyDirSettings:
    """The volume for temporary files and restic's cache."""

    medium: str = ""
    """"" is the node's disk, Memory is a tmpfs."""
    size_limit: IntOrString | None = None
    """A quantity, for example 1Gi."""
    disable_caching: bool = False
    """Whether restic runs without a cache."""


@attrs.frozen(kw_only=True)
class ExecAction:
    """A command in a container."""

    command: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class HTTPHeader:
    """One header of a request."""

    name: str
    value: str


@attrs.frozen(kw_only=True)
class HTTPGetAction:
    """An HTTP GET; 200 to 399 is success."""

    path: str = ""
    port: IntOrString
    host: str = ""
    """The pod's own address, where empty."""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()


@attrs.frozen(kw_only=True)
class FormEntry:
    """One key of a form, with its values."""

    key: str = ""
    values: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class HTTPPostAction:
    """An HTTP POST of a body or a form; 200 to 399 is success."""

    path: str = ""
    port: IntOrString
    host: str = ""
    """The pod's own address, where empty."""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()
    body: str = ""
    form: tuple[FormEntry, ...] = ()


@attrs.frozen(kw_only=True)
class TCPSocketAction:
    """A connection that must open."""

    port: IntOrString
    host: str = ""
    """The pod's own address, where empty."""


@attrs.frozen(kw_only=True)
class Handler:
    """What a hook does: exec, httpGet, httpPost, tcpSocket, in that order until one fails."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    http_post: HTTPPostAction | None = None
    tcp_socket: TCPSocketAction | None = None
    container_name: str = ""
    """The container of exec, and of a port that is given by name; the pod's first where empty."""


@attrs.frozen(kw_only=True)
class PostBackupHook(Handler):
    """A hook after a backup."""

    execution_policy: Literal["Always", "OnSuccess", "OnFailure", "OnFinalRetryFailure"] = "Always"
    """When the hook runs."""


@attrs.frozen(kw_only=True)
class PostRestoreHook(Handler):
    """A hook after a restore."""

    execution_policy: Literal["Always", "OnSuccess", "OnFailure"] = "Always"
    """When the hook runs."""


@attrs.frozen(kw_only=True)
class BackupHooks:
    """Hooks before and after a backup."""

    pre_backup: Handler | None = None
    post_backup: PostBackupHook | None = None


@attrs.frozen(kw_only=True)
class RestoreHooks:
    """Hooks before and after a restore."""

    pre_restore: Handler | None = None
    post_restore: PostRestoreHook | None = None
