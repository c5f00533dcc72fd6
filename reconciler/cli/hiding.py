"""What must not stand in a debug bundle, taken out of objects and of text.

Called by ``debug``. Twice, because each alone is not enough: by place (a Secret's data, what users
wrote into containers, copies of manifests in annotations), and by value (every value of every
Secret that could be read, wherever it turns up, also in base64). Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any, Final

from reconciler.agent.redaction import Redactor
from reconciler.api.resources import SECRETS, JsonObject
from reconciler.cli.log_sources import OWN
from reconciler.manifests import labels

HIDDEN: Final = "(hidden)"
_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SECRET_FIELDS: Final = ("data", "stringData")
_OF_CONTAINERS: Final = ("command", "args")
_OF_REQUESTS: Final = ("body", "form")
_OF_ACCOUNTS: Final = "kubernetes.io/service-account-token"
_MOST: Final = 64 * 1024
"""A longer value is a file; it is looked for by its lines, as ``Redactor`` does."""


def obj(found: JsonObject) -> JsonObject:
    """An object without what users may have hidden in it."""
    made: JsonObject = _cleaned(found, ours=_is_ours(found))
    if found.get("kind") == SECRETS.kind:
        for field in _SECRET_FIELDS:
            if field in made:
                made[field] = dict.fromkeys(made[field] or {}, HIDDEN)
    meta = made.get("metadata") or {}
    meta.pop("managedFields", None)
    if _ANNOTATION in (meta.get("annotations") or {}):
        meta["annotations"] = {**meta["annotations"], _ANNOTATION: HIDDEN}
    return made


def _is_ours(found: JsonObject) -> bool:
    own = (found.get("metadata") or {}).get("labels") or {}
    return bool(own.get(labels.MANAGED_BY) == labels.COMMON[labels.MANAGED_BY])


def _cleaned(value: Any, *, ours: bool) -> Any:
    if isinstance(value, list):
        return [_cleaned(each, ours=ours) for each in value]
    if not isinstance(value, dict):
        return value
    made = {key: _cleaned(each, ours=ours) for key, each in value.items()}
    if "image" in made and "name" in made:
        _hide_container(made, ours=ours or made["name"] in OWN)
    for field in _OF_REQUESTS:
        if field in made and isinstance(made[field], str | list):
            made[field] = HIDDEN
    if isinstance(made.get("httpHeaders"), list):
        made["httpHeaders"] = [_without_value(each) for each in made["httpHeaders"]]
    if isinstance(made.get("exec"), dict) and not ours:
        made["exec"] = dict.fromkeys(made["exec"], HIDDEN)
    return made


def _hide_container(made: JsonObject, *, ours: bool) -> None:
    if isinstance(made.get("env"), list):
        made["env"] = [_without_value(each) for each in made["env"]]
    for field in _OF_CONTAINERS:
        if field in made and not ours:
            made[field] = HIDDEN


def _without_value(entry: Any) -> Any:
    if isinstance(entry, dict) and "value" in entry:
        return {**entry, "value": HIDDEN}
    return entry


def everywhere(value: Any, clean: Redactor) -> Any:
    """Every text in a value cleaned, before it is escaped: a secret still looks like itself."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return [everywhere(each, clean) for each in value]
    if isinstance(value, dict):
        return {key: everywhere(each, clean) for key, each in value.items()}
    return value


def redactor(secrets: Iterable[JsonObject]) -> Redactor:
    """Takes every value of these Secrets out of text, also a name or another harmless word."""
    return Redactor.of(value for secret in secrets for value in _values(secret))


def _values(secret: JsonObject) -> Iterator[str]:
    for text in (secret.get("stringData") or {}).values():
        yield str(text)
    token = secret.get("type") == _OF_ACCOUNTS
    for key, encoded in (secret.get("data") or {}).items():
        if token and key != "token":
            continue  # the namespace's name and the cluster's certificate are no secret
        yield str(encoded)
        try:
            plain = base64.b64decode(encoded).decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
        if len(plain) <= _MOST:
            yield plain
