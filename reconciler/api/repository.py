"""Repository: where the backups are kept.

``Backend`` gives the values that the data side and the ``${REPOSITORY_…}`` variables are made of.
Types and pure derivations, used by decisions, manifests and agent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal
from urllib.parse import urlsplit

import attrs

from reconciler.api.conditions import Condition
from reconciler.api.metadata import Int64, ObjectMeta, Timestamp, named
from reconciler.api.resources import REPOSITORIES, JsonObject, Resource

VOLUME_SOURCES: Final = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi",
    "downwardAPI", "emptyDir", "ephemeral", "fc", "flexVolume", "flocker", "gcePersistentDisk",
    "gitRepo", "glusterfs", "hostPath", "image", "iscsi", "nfs", "persistentVolumeClaim",
    "photonPersistentDisk", "portworxVolume", "projected", "quobyte", "rbd", "scaleIO", "secret",
    "storageos", "vsphereVolume",
)  # fmt: skip
"""The keys of a core/v1 VolumeSource (of every Kubernetes version from 1.20 on)."""

Provider = Literal["local", "s3", "gcs", "azure", "swift", "b2", "rest"]
RepositoryPhase = Literal[
    "Pending", "Initializing", "Ready", "Maintaining", "Failed", "Terminating", "Wiping"
]


@attrs.frozen(kw_only=True)
class LocalBackend:
    """A volume of the cluster, mounted into the pods that back up."""

    volume_source: Mapping[str, JsonObject] = attrs.field(
        factory=dict, metadata={"inline": VOLUME_SOURCES}
    )
    """One core/v1 VolumeSource; in JSON its keys stand beside ``mountPath``."""
    mount_path: str = ""
    """Where it is mounted; not below /stash."""
    sub_path: str = ""


@attrs.frozen(kw_only=True)
class S3Backend:
    """S3, or a service that speaks its protocol."""

    endpoint: str = ""
    bucket: str = ""
    prefix: str = ""
    region: str = ""
    insecure_tls: bool = attrs.field(default=False, metadata=named("insecureTLS"))
    """Whether a certificate that nobody vouches for is accepted (from later Stash)."""


@attrs.frozen(kw_only=True)
class GCSBackend:
    """Google Cloud Storage."""

    bucket: str = ""
    prefix: str = ""
    max_connections: Int64 = 0


@attrs.frozen(kw_only=True)
class AzureBackend:
    """Azure Blob Storage."""

    container: str = ""
    prefix: str = ""
    max_connections: Int64 = 0


@attrs.frozen(kw_only=True)
class SwiftBackend:
    """OpenStack Swift."""

    container: str = ""
    prefix: str = ""


@attrs.frozen(kw_only=True)
class B2Backend:
    """Backblaze B2."""

    bucket: str = ""
    prefix: str = ""
    max_connections: Int64 = 0


@attrs.frozen(kw_only=True)
class RestBackend:
    """A restic REST server."""

    url: str = ""


@attrs.frozen(kw_only=True)
class Backend:
    """Where the restic repository is: exactly one of the providers, and the Secret for it."""

    storage_secret_name: str = ""
    """A Secret of the same namespace: RESTIC_PASSWORD and the provider's credentials."""
    local: LocalBackend | None = None
    s3: S3Backend | None = None
    gcs: GCSBackend | None = None
    azure: AzureBackend | None = None
    swift: SwiftBackend | None = None
    b2: B2Backend | None = None
    rest: RestBackend | None = None

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Every provider that is set, in Stash's order of precedence; one, in a valid object."""
        order: tuple[Provider, ...] = ("local", "s3", "gcs", "azure", "swift", "b2", "rest")
        return tuple(name for name in order if getattr(self, name) is not None)

    @property
    def provider(self) -> Provider | None:
        """The provider that is used; None where none is set."""
        return self.providers[0] if self.providers else None

    @property
    def container(self) -> str:
        """Bucket or container; the mount path of a volume, the host of a REST server."""
        if self.provider == "rest" and self.rest:
            return urlsplit(self.rest.url).netloc.rpartition("@")[2]
        key = {"local": "mount_path", "azure": "container", "swift": "container"}
        return str(getattr(self._chosen, key.get(self.provider or "", "bucket"), ""))

    @property
    def prefix(self) -> str:
        """The folder in the container: "" for a volume, the URL's path for a REST server."""
        if self.provider == "rest" and self.rest:
            return urlsplit(self.rest.url).path
        return str(getattr(self._chosen, "prefix", ""))

    @property
    def endpoint(self) -> str:
        """The URL of s3 or rest; "" for the others."""
        if self.provider == "s3" and self.s3:
            return self.s3.endpoint
        return self.rest.url if self.provider == "rest" and self.rest else ""

    @property
    def region(self) -> str:
        """The region of s3; "" for the others."""
        return self.s3.region if self.provider == "s3" and self.s3 else ""

    @property
    def max_connections(self) -> int:
        """The limit of connections of gcs, azure and b2; 0 is restic's own."""
        return int(getattr(self._chosen, "max_connections", 0))

    @property
    def _chosen(self) -> object:
        return getattr(self, self.provider) if self.provider else None


@attrs.frozen(kw_only=True)
class RepositorySpec:
    """Where the backups are kept, and what becomes of them when the Repository is deleted."""

    backend: Backend = attrs.field(factory=Backend)
    wipe_out: bool = False
    """Whether the data is deleted with the Repository."""


@attrs.frozen(kw_only=True)
class RepositoryStatus:
    """What is known about the restic repository."""

    phase: RepositoryPhase | None = None
    conditions: tuple[Condition, ...] = ()
    observed_generation: Int64 = 0
    first_backup_time: Timestamp | None = None
    last_backup_time: Timestamp | None = None
    integrity: bool | None = None
    """What restic's last check said."""
    total_size: str = ""
    snapshot_count: Int64 = 0
    snapshots_removed_on_last_cleanup: Int64 = 0
    last_maintained_session: str = ""
    """The session after which retention and check last ran."""
    active_sessions: tuple[str, ...] = ()
    """The sessions that may use the repository now."""
    active_restores: tuple[str, ...] = ()
    """The restores that may read the repository now, each as Kind/name."""
    maintaining: str = ""
    """The session whose maintenance has the repository to itself."""
    last_successful_backup_time: Timestamp | None = None
    """Deprecated in Stash; never written."""
    last_backup_duration: str = ""
    """Deprecated in Stash; never written."""
    backup_count: Int64 = 0
    """Deprecated in Stash; never written."""


@attrs.frozen(kw_only=True)
class Repository:
    """A restic repository, and where it is."""

    RESOURCE: ClassVar[Resource] = REPOSITORIES

    metadata: ObjectMeta
    spec: RepositorySpec
    status: RepositoryStatus = attrs.field(factory=RepositoryStatus)
