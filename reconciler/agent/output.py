"""``output.json``: how the data step of a Job hands its result to the step ``update-status``.

The shape is Stash's, so steps of other images can be mixed with ours; ``session``,
``incomplete`` and ``hooks`` are additions that others ignore.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from reconciler.agent.report import HostReport
from reconciler.api.decoding import decode, encode
from reconciler.api.resources import JsonObject
from reconciler.api.restore import HostRestoreStats
from reconciler.api.session import HostBackupStats
from reconciler.errors import Fault, InvalidObject, NotFound

NAME = "output.json"
_EVERYBODY = 0o777  # the next step may run as another user, as in Stash


def write(directory: str, ref: JsonObject, reports: Sequence[HostReport], uid: str) -> None:
    """Whole or not at all: a step that dies while writing leaves no half file."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(_EVERYBODY)
    content = {
        "targetStatus": {"ref": ref, "stats": [encode(report.stats) for report in reports]},
        "session": {"uid": uid},
        "incomplete": {item.host: item.incomplete for item in reports if item.incomplete},
        "hooks": {item.host: dict(item.hooks) for item in reports if item.hooks},
    }
    unfinished = folder / f".{NAME}"
    unfinished.write_text(json.dumps(content, indent=1))
    unfinished.chmod(_EVERYBODY)
    unfinished.rename(folder / NAME)


def read(
    directory: str, shape: type[HostBackupStats | HostRestoreStats] = HostBackupStats
) -> tuple[tuple[HostReport, ...], str]:
    """The reports and the session's uid ("" from other images' steps).

    ``shape``: of the results of a backup or of a restore.

    Raises NotFound without the file, InvalidObject when it is not what it should be.
    """
    path = Path(directory) / NAME
    try:
        content = json.loads(path.read_text())
        stats = content["targetStatus"]["stats"]
        unreadable = content.get("incomplete") or {}
        hooks = content.get("hooks") or {}
        uid = (content.get("session") or {}).get("uid", "")
        found = [decode(shape, item, unknown="ignore") for item in stats]
    except FileNotFoundError as error:
        raise NotFound(f"the data step has left no {NAME}: see the log of the step") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        fault = Fault("targetStatus.stats", "is not a list of host results", "see the step's log")
        raise InvalidObject(NAME, [fault]) from error
    reports = (
        HostReport(item, unreadable.get(item.hostname, ""), hooks.get(item.hostname, {}))
        for item in found
    )
    return tuple(reports), uid
