"""The objects of one resource in memory, with indexes: a shelf of the informer cache.

Filled by a reflector (lists and watch events) and by the engine (what it has just written); read
by decisions through ``informer.InformerCache``, which also does the locking. Whatever the order of
arrival, the newest state of an object wins: resourceVersions of one resource are compared as
numbers, as API servers promise (Kubernetes, KEP-5504) and etcd has always kept.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping

from reconciler.api.resources import JsonObject

Place = tuple[str, str]
"""Namespace and name."""

Changed = Callable[[JsonObject | None, JsonObject | None], None]
"""Told of every real change: the old and the new state; None is absence."""


class Objects:
    """A sorted, indexed set of objects. Label indexes are made when first asked for."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._by_place: dict[Place, JsonObject] = {}
        self._places: list[Place] = []
        self._by_owner: dict[str, set[Place]] = {}
        self._by_label: dict[str, dict[str, set[Place]]] = {}
        self._buried: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_place)

    def get(self, namespace: str, name: str) -> JsonObject | None:
        return self._by_place.get((namespace, name))

    def select(
        self,
        namespace: str | None,
        labels: Mapping[str, str] | None,
        owner_uid: str | None,
    ) -> list[JsonObject]:
        """What ``plan.View.list`` promises, from the smallest index that applies."""
        indexes = [self._labelled(name, value) for name, value in (labels or {}).items()]
        if owner_uid is not None:
            indexes.append(self._by_owner.get(owner_uid, set()))
        if not indexes:
            return [self._by_place[place] for place in self._range(namespace)]
        found = set.intersection(*indexes) if len(indexes) > 1 else indexes[0]
        return [
            self._by_place[place]
            for place in sorted(found)
            if namespace is None or place[0] == namespace
        ]

    def put(self, obj: JsonObject) -> None:
        """Take a state of an object, unless a newer one (or its removal) is known."""
        place, uid = _place(obj), _uid(obj)
        old = self._by_place.get(place)
        if old is not None and not _is_newer(obj, old):
            return
        if uid in self._buried and version(obj) <= self._buried[uid]:
            return
        self._store(place, old, obj)
        self._changed(old, obj)

    def remove(self, obj: JsonObject) -> None:
        """The watch says that this object is gone."""
        self._buried.pop(_uid(obj), None)
        old = self._by_place.get(_place(obj))
        if old is not None and _uid(old) == _uid(obj):
            self._drop(old)

    def bury(self, obj: JsonObject) -> None:
        """We have deleted this object: forget it, and do not let an echo bring it back."""
        old = self._by_place.get(_place(obj))
        if old is not None and _uid(old) == _uid(obj):
            self._buried[_uid(obj)] = max(version(obj), version(old))
            self._drop(old)

    def mark_terminating(self, obj: JsonObject, moment: str) -> None:
        """We have deleted this object, but it stays for its finalizers or its grace period."""
        old = self._by_place.get(_place(obj))
        if old is None or _uid(old) != _uid(obj) or "deletionTimestamp" in old["metadata"]:
            return
        new = {**old, "metadata": {**old["metadata"], "deletionTimestamp": moment}}
        self._by_place[_place(obj)] = new
        self._changed(old, new)

    def replace(self, items: Iterable[JsonObject], resource_version: str) -> None:
        """Take a whole list: what it lacks is gone, unless we wrote it after the list was made."""
        listed = set()
        for item in items:
            listed.add(_place(item))
            self.put(item)
        moment = _number(resource_version)
        for place in [place for place in self._places if place not in listed]:
            if version(self._by_place[place]) <= moment:
                self._drop(self._by_place[place])
        self._buried = {uid: at for uid, at in self._buried.items() if at > moment}

    def clear(self) -> None:
        """The resource is not served any more."""
        self._buried.clear()
        for place in list(self._places):
            self._drop(self._by_place[place])

    def _range(self, namespace: str | None) -> list[Place]:
        if namespace is None:
            return self._places
        first = bisect_left(self._places, (namespace, ""))
        return self._places[first : bisect_left(self._places, (namespace + "\0", ""))]

    def _labelled(self, name: str, value: str) -> set[Place]:
        if name not in self._by_label:
            self._by_label[name] = {}
            for place, obj in self._by_place.items():
                if name in _labels(obj):
                    self._by_label[name].setdefault(_labels(obj)[name], set()).add(place)
        return self._by_label[name].get(value, set())

    def _store(self, place: Place, old: JsonObject | None, new: JsonObject) -> None:
        if old is None:
            insort(self._places, place)
        else:
            self._unindex(place, old)
        self._by_place[place] = new
        for uid in _owners(new):
            self._by_owner.setdefault(uid, set()).add(place)
        for name, index in self._by_label.items():
            if name in _labels(new):
                index.setdefault(_labels(new)[name], set()).add(place)

    def _drop(self, old: JsonObject) -> None:
        place = _place(old)
        self._unindex(place, old)
        del self._by_place[place]
        del self._places[bisect_left(self._places, place)]
        self._changed(old, None)

    def _unindex(self, place: Place, old: JsonObject) -> None:
        for uid in _owners(old):
            _discard(self._by_owner, uid, place)
        for name, index in self._by_label.items():
            if name in _labels(old):
                _discard(index, _labels(old)[name], place)


def version(obj: JsonObject) -> int:
    """The resourceVersion as a number; 0 where there is none."""
    return _number(obj["metadata"].get("resourceVersion", ""))


def _number(resource_version: str) -> int:
    return int(resource_version) if resource_version.isdecimal() else 0


def _is_newer(new: JsonObject, old: JsonObject) -> bool:
    return version(new) > version(old) or version(new) == 0


def _place(obj: JsonObject) -> Place:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _uid(obj: JsonObject) -> str:
    return str(obj["metadata"].get("uid", ""))


def _labels(obj: JsonObject) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _owners(obj: JsonObject) -> list[str]:
    """Uids of controllers only: that is what ``View.list(owner_uid=)`` asks for."""
    references = obj["metadata"].get("ownerReferences") or ()
    return [each["uid"] for each in references if each.get("controller")]


def _discard(index: dict[str, set[Place]], value: str, place: Place) -> None:
    index[value].discard(place)
    if not index[value]:
        del index[value]
