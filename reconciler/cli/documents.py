"""Manifests from files: YAML or JSON, several documents a file, whole folders, standard input.

Called by ``plan`` and the demo. Every object remembers where it was read, and a fault of the text
names file and line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

from reconciler.api.resources import JsonObject
from reconciler.errors import Fault, InvalidObject, TerminalError

SUFFIXES = (".yaml", ".yml", ".json")


@attrs.frozen
class Document:
    """An object, and where it was read: ``app.yaml``, or ``app.yaml, document 2``."""

    source: str
    obj: JsonObject


class _Strict(yaml.SafeLoader):
    """SafeLoader that refuses a key twice in one mapping, which YAML forbids and PyYAML takes."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands twice in one mapping",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(paths: Iterable[str]) -> list[Document]:
    """Every object of these files and folders ("-": standard input), in order.

    Raises TerminalError for a path that is not there, InvalidObject for text that is no manifest.
    """
    return [document for path in paths for document in _of_path(path)]


def parse(text: str, source: str) -> list[Document]:
    """The objects of one text. Lists of kind List are unpacked."""
    try:
        values = list(yaml.load_all(text, _Strict))
    except yaml.YAMLError as error:
        raise InvalidObject(source, [_syntax(error)]) from error
    found = [(number, value) for number, value in enumerate(values, 1) if value is not None]
    return [
        Document(source if len(found) == 1 else f"{source}, document {number}", obj)
        for number, value in found
        for obj in _objects(value, f"{source}, document {number}")
    ]


def _of_path(path: str) -> Iterator[Document]:
    if path == "-":
        yield from parse(sys.stdin.read(), "standard input")
        return
    place = Path(path)
    if not place.exists():
        raise TerminalError(f"{path}: no such file or folder")
    files = _in_folder(place) if place.is_dir() else [place]
    for file in files:
        yield from parse(file.read_text(encoding="utf-8"), str(file))


def _in_folder(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in SUFFIXES)


def _objects(value: Any, source: str) -> Iterator[JsonObject]:
    if not isinstance(value, dict):
        problem = f"is {type(value).__name__}, not an object with apiVersion, kind and metadata"
        raise InvalidObject(source, [Fault("(document)", problem)])
    missing = [name for name in ("apiVersion", "kind") if not isinstance(value.get(name), str)]
    if missing:
        faults = [Fault(name, "is missing", f"every manifest has its {name}") for name in missing]
        raise InvalidObject(source, faults)
    if value["kind"] == "List":
        for item in value.get("items") or ():
            yield from _objects(item, source)
        return
    meta = value.get("metadata")
    if not isinstance(meta, dict) or not isinstance(meta.get("name"), str):
        raise InvalidObject(f"{source}: {value['kind']}", [Fault("metadata.name", "is missing")])
    yield value


def _syntax(error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    path = "(text)" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
    return Fault(path, getattr(error, "problem", None) or "is no YAML")
