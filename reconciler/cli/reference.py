"""``docs/cli.md``, generated from the commands themselves.

``python -m reconciler.cli.reference`` writes the page; a test fails when it is stale.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo

from reconciler.cli.main import app

HEAD: Final = """\
# The command line

<!-- Generated from the commands by: python -m reconciler.cli.reference -->

With `kubectl-tandem` in the `PATH`, `kubectl tandem` is the same program.
[Operating](operating.md) says which command helps when.

Every command has `--help`. Results go to standard output, as text or with `--output json`;
progress and errors go to standard error, an error as one line that names the object, the field and
what to do.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. `tandem plan` differs: 0 nothing to
do, 1 failed or wrong usage, 2 changes.
"""
PAGE: Final = Path("docs/cli.md")


def render() -> str:
    """The whole page."""
    commands = ((info.name, info.callback) for info in app.registered_commands)
    return HEAD + "".join(_command(name, body) for name, body in commands if name and body)


def _command(name: str, body: Callable[..., Any]) -> str:
    paragraphs = inspect.cleandoc(body.__doc__ or "").split("\n\n")
    text = "\n".join(_paragraph(" ".join(each.split())) + "\n" for each in paragraphs)
    rows = "".join(_rows(body))
    return f"\n## tandem {name}\n\n{text}" + (f"\n| | |\n|---|---|\n{rows}" if rows else "")


def _paragraph(text: str) -> str:
    head, found, example = text.partition("Example: ")
    return f"{head}```console\n$ {example}\n```" if found else text


def _rows(body: Callable[..., Any]) -> Iterator[str]:
    hints = get_type_hints(body, include_extras=True)
    for parameter in inspect.signature(body).parameters.values():
        annotated = hints[parameter.name]
        if get_origin(annotated) is Annotated:
            hint, info = get_args(annotated)
            yield _row(parameter, hint, info)


def _row(parameter: inspect.Parameter, hint: Any, info: Any) -> str:
    value = "" if hint is bool else f" {_metavar(parameter, hint, info)}".replace("|", "\\|")
    if isinstance(info, ArgumentInfo):
        names = f"`{value.strip()}`"
    else:
        given = _declared(parameter, info)
        names = ", ".join([*(f"`{name}`" for name in given[:-1]), f"`{given[-1]}{value}`"])
    return f"| {names} | {info.help}{_default(parameter, hint)} |\n"


def _declared(parameter: inspect.Parameter, info: Any) -> list[str]:
    """The option's names as written; typer takes the first for the default, and derives one."""
    first = [info.default] if isinstance(info.default, str) else []
    names = [*first, *(info.param_decls or ())] or [f"--{parameter.name.replace('_', '-')}"]
    return [name for declared in names for name in declared.split("/")]


def _metavar(parameter: inspect.Parameter, hint: Any, info: Any) -> str:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "|".join(str(member.value) for member in hint)
    return str(info.metavar or ("NUMBER" if hint is int else parameter.name.upper()))


def _default(parameter: inspect.Parameter, hint: Any) -> str:
    value = parameter.default
    if hint is bool or value is None or value is inspect.Parameter.empty:
        return ""
    return f" Default: `{value.value if isinstance(value, Enum) else value}`."


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")


if __name__ == "__main__":
    main()
