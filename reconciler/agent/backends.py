"""From a Repository object and its Secret to what restic needs: location, environment, options.

Called by the commands before anything is run. The seven providers and their variables are Stash's
(``Repository.spec.backend``), so its repositories are found where it left them. Pure, but for
:func:`read_secret`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from reconciler.agent.restic import Access
from reconciler.agent.surroundings import Surroundings
from reconciler.api.resources import JsonObject
from reconciler.errors import Fault, InvalidObject

PASSWORD = "RESTIC_PASSWORD"  # noqa: S105 -- the name of the key, not its value
CA_CERTIFICATE = "CA_CERT_DATA"
GOOGLE_KEY = "GOOGLE_SERVICE_ACCOUNT_JSON_KEY"
DEFAULT_S3_ENDPOINT = "s3.amazonaws.com"

CREDENTIALS: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    "gcs": ("GOOGLE_PROJECT_ID",),
    "azure": ("AZURE_ACCOUNT_NAME", "AZURE_ACCOUNT_KEY"),
    "swift": (
        *("ST_AUTH", "ST_USER", "ST_KEY"),
        *("OS_AUTH_URL", "OS_REGION_NAME", "OS_USERNAME", "OS_PASSWORD"),
        *("OS_TENANT_ID", "OS_TENANT_NAME"),
        *("OS_USER_DOMAIN_NAME", "OS_PROJECT_NAME", "OS_PROJECT_DOMAIN_NAME"),
        *("OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME"),
        *("OS_APPLICATION_CREDENTIAL_SECRET", "OS_STORAGE_URL", "OS_AUTH_TOKEN"),
    ),
    "b2": ("B2_ACCOUNT_ID", "B2_ACCOUNT_KEY"),
    "rest": (),
}
"""Provider → keys of the Secret that are exported under their own name. First found wins."""

_CONNECTIONS = {"gcs": "gs", "azure": "azure", "b2": "b2"}


def read_secret(directory: str) -> dict[str, str]:
    """The Secret as mounted: one file a key. A missing directory is an empty Secret."""
    folder = Path(directory)
    if not folder.is_dir():
        return {}
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    return {file.name: file.read_text(errors="replace") for file in files}


def access(
    repository: JsonObject, secret: Mapping[str, str], secret_dir: str, surroundings: Surroundings
) -> Access:
    """Raises InvalidObject, naming the field or the key that is missing."""
    backend = repository.get("spec", {}).get("backend", {})
    provider = _provider(repository, backend)
    spec = backend[provider] or {}
    location, display = _LOCATIONS[provider](spec, secret, surroundings)
    local = location if provider == "local" else ""
    return Access(
        location=location,
        display=display,
        env=_environment(repository, provider, spec, secret, secret_dir),
        options=_options(provider, spec),
        ca_certificate=f"{secret_dir}/{CA_CERTIFICATE}" if CA_CERTIFICATE in secret else "",
        insecure_tls=bool(spec.get("insecureTLS")),
        local_directory=local,
        secret=f"{repository['metadata']['namespace']}/{backend.get('storageSecretName', '')}",
    )


def _provider(repository: JsonObject, backend: Mapping[str, Any]) -> str:
    for provider in CREDENTIALS:
        if provider in backend:
            return provider
    known = ", ".join(CREDENTIALS)
    raise _invalid(repository, "spec.backend", "names no provider", f"set one of {known}")


def _environment(
    repository: JsonObject,
    provider: str,
    spec: Mapping[str, Any],
    secret: Mapping[str, str],
    secret_dir: str,
) -> dict[str, str]:
    name = repository["spec"]["backend"].get("storageSecretName", "")
    if PASSWORD not in secret:
        raise _invalid(
            repository,
            "spec.backend.storageSecretName",
            f"the Secret {name or '(none)'} has no key {PASSWORD}",
            f"add {PASSWORD} to the Secret",
        )
    environment = {key: secret[key] for key in CREDENTIALS[provider] if key in secret}
    if provider == "s3" and spec.get("region"):
        environment["AWS_DEFAULT_REGION"] = spec["region"]
    if provider == "gcs" and GOOGLE_KEY in secret:
        environment["GOOGLE_APPLICATION_CREDENTIALS"] = f"{secret_dir}/{GOOGLE_KEY}"
    environment[PASSWORD] = secret[PASSWORD]  # not trimmed: Stash does not, and it made the key
    return environment


def _options(provider: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    connections = int(spec.get("maxConnections") or 0)
    if connections <= 0 or provider not in _CONNECTIONS:
        return ()
    return (f"{_CONNECTIONS[provider]}.connections={connections}",)


def _local(
    spec: Mapping[str, Any], secret: Mapping[str, str], surroundings: Surroundings
) -> tuple[str, str]:
    del secret
    mount = posixpath.normpath(spec.get("mountPath") or "/")
    return surroundings.path(mount), mount


def _s3(
    spec: Mapping[str, Any], secret: Mapping[str, str], surroundings: Surroundings
) -> tuple[str, str]:
    del secret
    endpoint = (spec.get("endpoint") or DEFAULT_S3_ENDPOINT).rstrip("/")
    place = f"{surroundings.url(endpoint)}/{clean(spec.get('bucket', ''), spec.get('prefix', ''))}"
    return f"s3:{place}", f"s3:{place}"


def _object_store(scheme: str, bucket_field: str) -> _Location:
    def locate(
        spec: Mapping[str, Any], secret: Mapping[str, str], surroundings: Surroundings
    ) -> tuple[str, str]:
        del secret, surroundings
        place = f"{scheme}:{spec.get(bucket_field, '')}:/{clean(spec.get('prefix', ''))}"
        return place, place

    return locate


def _swift(
    spec: Mapping[str, Any], secret: Mapping[str, str], surroundings: Surroundings
) -> tuple[str, str]:
    """The prefix is not cleaned: restic keeps a leading slash for swift, and so did Stash."""
    del secret, surroundings
    place = f"swift:{spec.get('container', '')}:/{spec.get('prefix', '')}"
    return place, place


def _rest(
    spec: Mapping[str, Any], secret: Mapping[str, str], surroundings: Surroundings
) -> tuple[str, str]:
    address = surroundings.url(spec.get("url", ""))
    user = secret.get("REST_SERVER_USERNAME", "").strip()
    if not user:
        return f"rest:{address}", f"rest:{_without_user(address)}"
    word = secret.get("REST_SERVER_PASSWORD", "").strip()
    account = quote(user, safe="") + (f":{quote(word, safe='')}" if word else "")
    parts = urlsplit(_without_user(address))
    return (
        f"rest:{urlunsplit(parts._replace(netloc=f'{account}@{parts.netloc}'))}",
        f"rest:{_without_user(address)}",
    )


def _without_user(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def clean(*parts: str) -> str:
    """Joined like Go's path.Join, without a slash at either end."""
    joined = posixpath.normpath("/" + "/".join(part for part in parts if part))
    return joined.strip("/")


_Location = Callable[[Mapping[str, Any], Mapping[str, str], Surroundings], tuple[str, str]]
_LOCATIONS: Mapping[str, _Location] = {
    "local": _local,
    "s3": _s3,
    "gcs": _object_store("gs", "bucket"),
    "azure": _object_store("azure", "container"),
    "swift": _swift,
    "b2": _object_store("b2", "bucket"),
    "rest": _rest,
}


def _invalid(repository: JsonObject, path: str, problem: str, remedy: str) -> InvalidObject:
    meta = repository["metadata"]
    subject = f"Repository {meta.get('namespace', '')}/{meta['name']}"
    return InvalidObject(subject, [Fault(path, problem, remedy)])
