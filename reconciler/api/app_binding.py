"""AppBinding: where an application (a database) is, and how to log in.

Written by users or by the database's own operator; Tandem only reads it. Types only.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from reconciler.api.metadata import Int32, LocalObjectReference, ObjectMeta, named
from reconciler.api.resources import APP_BINDINGS, JsonObject, Resource


@attrs.frozen(kw_only=True)
class ServiceReference:
    """A Service in the AppBinding's namespace."""

    scheme: str
    name: str
    port: Int32
    path: str = ""
    query: str = ""


@attrs.frozen(kw_only=True)
class ClientConfig:
    """How to reach the application: by ``url`` or by ``service``."""

    url: str | None = None
    service: ServiceReference | None = None
    insecure_skip_tls_verify: bool = attrs.field(
        default=False, metadata=named("insecureSkipTLSVerify")
    )
    ca_bundle: str = ""
    """Certificates in base64."""


@attrs.frozen(kw_only=True)
class RenameKey:
    """Take a key of the Secret under another name."""

    from_: str = attrs.field(metadata=named("from"))
    to: str


@attrs.frozen(kw_only=True)
class AddKey:
    """Add a key to what is read from the Secret."""

    key: str
    value: str = ""
    """In base64."""
    string_value: str = ""


@attrs.frozen(kw_only=True)
class SecretReference:
    """A Secret by namespace and name."""

    namespace: str = ""
    name: str = ""


@attrs.frozen(kw_only=True)
class AddKeysFrom:
    """Add all keys of another Secret."""

    secret_ref: SecretReference


@attrs.frozen(kw_only=True)
class RemoveKey:
    """Leave a key out."""

    key: str


@attrs.frozen(kw_only=True)
class SecretTransform:
    """One change to the keys read from the Secret; they are made in order."""

    rename_key: RenameKey | None = None
    add_key: AddKey | None = None
    add_keys_from: AddKeysFrom | None = None
    remove_key: RemoveKey | None = None


@attrs.frozen(kw_only=True)
class AppBindingSpec:
    """Where the application is, and how to log in."""

    type: str = ""
    """The kind of application, for example mysql or kubedb.com/mysql."""
    version: str = ""
    client_config: ClientConfig
    secret: LocalObjectReference | None = None
    secret_transforms: tuple[SecretTransform, ...] = ()
    parameters: JsonObject | None = None
    """Settings that only the application's own Task understands."""


@attrs.frozen(kw_only=True)
class AppBinding:
    """Where an application is, and how to log in."""

    RESOURCE: ClassVar[Resource] = APP_BINDINGS

    metadata: ObjectMeta
    spec: AppBindingSpec

    @property
    def app_group(self) -> str:
        """The text before the last slash of ``spec.type``, for metrics; "" without a slash."""
        return self.spec.type.rpartition("/")[0]

    @property
    def app_resource(self) -> str:
        """The text after the last slash of ``spec.type``, for metrics."""
        return self.spec.type.rpartition("/")[2]
