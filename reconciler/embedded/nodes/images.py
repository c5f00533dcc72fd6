"""The image table of the process node: which local command stands for an image's entrypoint.

Called by ``process``; pure. There are no image layers here: an image only decides what is run when
a container has no ``command``. Patterns are shell globs on the image's name without registry, tag
and digest; the first that matches counts.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Mapping, Sequence

from reconciler.api.resources import JsonObject
from reconciler.decisions.plan import Settings
from reconciler.embedded.nodes.runtime import Waiting

Entrypoint = Sequence[str]
AGENT: Entrypoint = (sys.executable, "-m", "reconciler.cli.main", "agent")
SHELLS: Mapping[str, Entrypoint] = {
    "busybox": ("sh",),
    "alpine": ("sh",),
    "debian": ("sh",),
    "ubuntu": ("sh",),
    "bash": ("bash",),
    "python": (sys.executable,),
}
"""Images of which the default command is a shell or an interpreter: ``args`` replace it."""


def default_table(settings: Settings) -> dict[str, Entrypoint]:
    """Tandem's own image (whatever it is called here) is this very installation."""
    return {name_of(settings.image): AGENT, "tandem/tandem*": AGENT}


def name_of(image: str) -> str:
    """The image's name without registry host, ``library/``, tag and digest."""
    name = image.partition("@")[0]
    head, slash, rest = name.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        name = rest
    folder, slash, last = name.rpartition("/")
    return (folder + slash + last.partition(":")[0]).removeprefix("library/")


def command_of(container: JsonObject, table: Mapping[str, Entrypoint]) -> list[str]:
    """The argv of a container, not yet expanded.

    Raises Waiting (``ErrImagePull``) when neither the container nor the table says what to run.
    """
    args = [str(arg) for arg in container.get("args") or ()]
    if container.get("command"):
        return [*(str(part) for part in container["command"]), *args]
    image = str(container.get("image", ""))
    name = name_of(image)
    for pattern, entrypoint in table.items():
        if fnmatch.fnmatch(name, pattern):
            return [*entrypoint, *args]
    if name in SHELLS:
        return args or list(SHELLS[name])
    raise Waiting(
        "ErrImagePull",
        f"no local program stands for image {image!r}: set the container's command, "
        "or add the image to the node's image table",
    )
