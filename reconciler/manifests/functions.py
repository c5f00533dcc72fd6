"""``${VARIABLE}`` substitution in Functions and Tasks, on values and not on JSON text.

Called by ``jobs``. Stash substitutes in the serialised object, so a quote or a newline in a value
breaks the pod (spec 10.47); here each string is substituted where it stands, and a value is only
ever a value. The syntax is Stash's: ``${X}``, ``${X:=default}``, ``${X:-default}``,
``${X=default}``, ``$$``. A variable that is set but empty stays empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from reconciler.errors import Fault

_TOKEN = re.compile(
    r"\$\$|\$\{(?P<name>[A-Za-z0-9_]+)(?:(?P<operator>:=|:-|=)(?P<default>[^}]*))?\}"
)


def substitute(value: Any, variables: Mapping[str, str], path: str, faults: list[Fault]) -> Any:
    """The JSON value with every string in it substituted; a missing variable adds a Fault.

    Keys of mappings are left alone: they are field names.
    """
    if isinstance(value, str):
        return _substitute_text(value, variables, path, faults)
    if isinstance(value, Mapping):
        return {
            key: substitute(item, variables, f"{path}.{key}", faults) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            substitute(item, variables, f"{path}[{index}]", faults)
            for index, item in enumerate(value)
        ]
    return value


def _substitute_text(
    text: str, variables: Mapping[str, str], path: str, faults: list[Fault]
) -> str:
    def replace(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        if name in variables:
            return variables[name]
        if match["operator"]:
            return match["default"]
        faults.append(_missing(name, path))
        return ""

    return _TOKEN.sub(replace, text)


def _missing(name: str, path: str) -> Fault:
    return Fault(
        path,
        f"the variable {name} has no value",
        f"set it in task.params of the member, or give it a default: ${{{name}:=...}}",
    )
