"""A batch with both models, whose backups can be held in their middle.

The Deployment ``web`` and the claim ``uploads`` have preBackup hooks that wait for a file; a held
backup is claimed and has begun, and goes on when the scenario says so. So a scenario can do
something at a moment of a session that is a state of the world, and not a matter of luck.
"""

from __future__ import annotations

import contextlib

import attrs
from acceptance.place import Place, stats, targets

from reconciler.api.resources import JsonObject

HOSTS = {"web": "/data", "cache-0": "/data", "cache-1": "/data", "uploads": "/stash-data"}
"""Host → path of every backup of the batch."""


@attrs.define
class Shop:
    place: Place

    @classmethod
    def opened(cls, place: Place) -> Shop:
        """All its workloads have their sidecars, and its repository is ready."""
        made = cls(place)
        place.apply("shop-workloads.yaml")
        place.ready("Deployment", "web")
        place.ready("StatefulSet", "cache")
        place.apply("shop.yaml")
        place.becomes("BackupBatch", "shop", _scheduled, "is Scheduled")
        place.ready("Deployment", "web")
        place.ready("StatefulSet", "cache")
        return made

    def hold(self, *what: str) -> None:
        """From now on the backups of ``web``, ``uploads`` or both wait for ``go_on``."""
        self._in_web("; ".join(f"touch {_FILES[each]}" for each in what))

    def go_on(self) -> None:
        self._in_web("rm -f " + " ".join(_FILES.values()))

    def _in_web(self, line: str) -> None:
        """Asked again where it is refused: a kubelet that has just come up does so for a moment."""

        def ran() -> bool:
            with contextlib.suppress(AssertionError):
                self.place.execute(self.place.ready_pod("web"), line)
                return True
            return False

        self.place.until(ran, "the command has run in web")

    def ends_well(self, session: str) -> JsonObject:
        """Every host is reported once, has one snapshot, and the repository is free again."""
        found = self.place.succeeded(session)
        assert sorted(stat["hostname"] for stat in stats(found)) == sorted(HOSTS)
        assert all(len(stat["snapshots"]) == 1 for stat in stats(found))
        self.place.maintained(session)
        assert self.place.hosts_and_paths() == set(HOSTS.items())
        self._nothing_is_twice(found)
        return found

    def _nothing_is_twice(self, session: JsonObject) -> None:
        """Since it was made, each host got the snapshot that was reported, and no other."""
        reported = {s["name"] for stat in stats(session) for s in stat["snapshots"]}
        made = session["metadata"]["creationTimestamp"]
        fresh = {s["short_id"] for s in self.place.snapshots() if s["time"][:19] >= made[:19]}
        assert fresh == reported


def held(session: JsonObject, target: str) -> bool:
    """Whether this target's backup has been claimed, and has not ended."""
    found = targets(session).get(target) or {}
    return found.get("phase") == "Running" and not found.get("stats")


_FILES = {"web": "/data/.hold", "uploads": "/uploads/.hold"}


def _scheduled(batch: JsonObject) -> bool:
    return (batch.get("status") or {}).get("phase") in ("Scheduled", "Succeeded", "Failed")
