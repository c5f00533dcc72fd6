"""What a real server demands of names, labels and annotations. Pure.

Called by ``admission`` for every object. Messages after Kubernetes' ``util/validation``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.api.resources import JsonObject
from reconciler.embedded.refusals import Cause, forbidden_value, invalid_value

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_SERVICE = "[a-z]([-a-z0-9]*[a-z0-9])?"

_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_LABEL}')"
)
_SERVICE_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    f"regex used for validation is '{_SERVICE}')"
)
_QUALIFIED_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_QUALIFIED}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    f"'12345', regex used for validation is '{_VALUE}')"
)
_ANNOTATIONS = 262144

_FREE_NAMES = ("rbac.authorization.k8s.io",)
"""Groups whose names may be anything that fits in a URL."""


def causes(kind: str, group: str, meta: JsonObject) -> list[Cause]:
    """What is wrong with an object's metadata."""
    return [
        *_name(kind, group, str(meta["name"])),
        *labels(meta.get("labels"), "metadata.labels"),
        *_annotations(meta.get("annotations")),
        *_owners(meta.get("ownerReferences")),
    ]


def _name(kind: str, group: str, name: str) -> list[Cause]:
    if group in _FREE_NAMES:
        return []
    pattern, text, limit = {
        "Namespace": (_LABEL, _LABEL_TEXT, 63),
        "Service": (_SERVICE, _SERVICE_TEXT, 63),
    }.get(kind, (_SUBDOMAIN, _SUBDOMAIN_TEXT, 253))
    found = []
    if len(name) > limit:
        found.append(
            invalid_value("metadata.name", name, f"must be no more than {limit} characters")
        )
    if not re.fullmatch(pattern, name):
        found.append(invalid_value("metadata.name", name, text))
    if kind == "CronJob" and len(name) > 52:
        found.append(invalid_value("metadata.name", name, "must be no more than 52 characters"))
    return found


def labels(found: JsonObject | None, path: str) -> list[Cause]:
    """What is wrong with labels."""
    causes: list[Cause] = []
    for key, value in (found or {}).items():
        causes.extend(_qualified(path, key))
        if len(str(value)) > 63:
            causes.append(invalid_value(path, value, "must be no more than 63 characters"))
        if not re.fullmatch(_VALUE, str(value)):
            causes.append(invalid_value(path, value, _VALUE_TEXT))
    return causes


def _qualified(path: str, key: str) -> Iterable[Cause]:
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield invalid_value(path, key, f"prefix part {_SUBDOMAIN_TEXT}")
    if not name:
        yield invalid_value(path, key, "name part must be non-empty")
    if len(name) > 63:
        yield invalid_value(path, key, "name part must be no more than 63 characters")
    if not re.fullmatch(_QUALIFIED, name):
        yield invalid_value(path, key, _QUALIFIED_TEXT)


def _annotations(found: JsonObject | None) -> Iterable[Cause]:
    size = 0
    for key, value in (found or {}).items():
        yield from _qualified("metadata.annotations", key.lower())
        size += len(key) + len(str(value))
    if size > _ANNOTATIONS:
        detail = f"must have at most {_ANNOTATIONS} bytes"
        yield Cause("metadata.annotations", "Too long", detail)


def _owners(found: list[JsonObject] | None) -> Iterable[Cause]:
    controllers = 0
    for index, reference in enumerate(found or ()):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(field):
                yield invalid_value(f"{path}.{field}", "", _OWNER_TEXT[field])
        controllers += bool(reference.get("controller"))
    if controllers > 1:
        detail = "Only one reference can have Controller set to true"
        yield invalid_value("metadata.ownerReferences", found, detail)


_OWNER_TEXT = {
    "apiVersion": "version must not be empty",
    "kind": "kind must not be empty",
    "name": "name must not be empty",
    "uid": "uid must not be empty",
}


def changed(new: JsonObject, old: JsonObject) -> list[Cause]:
    """What is wrong with a change of the metadata."""
    added = set(new.get("finalizers") or ()) - set(old.get("finalizers") or ())
    if "deletionTimestamp" not in old or not added:
        return []
    names = ", ".join(f'"{name}"' for name in sorted(added))
    return [
        forbidden_value(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, found new finalizers "
            f"[]string{{{names}}}",
        )
    ]
