"""A lock that a killed restic leaves in the repository goes when its pod is proven gone."""

from __future__ import annotations

import json

from acceptance.place import PASSWORD, Place, phase, stats
from acceptance.shop import Shop, held


def test_a_lock_of_a_dead_pod_is_removed_and_the_session_succeeds(place: Place) -> None:
    shop = Shop.opened(place)
    shop.hold("web")
    session = place.trigger()
    place.becomes("BackupSession", session, lambda s: held(s, "Deployment/web"), "is held")
    place.until(lambda: len(stats(place.get("BackupSession", session))) == 3, "the others are done")
    pod = place.ready_pod("web")
    _lock(place, pod, "stash")
    assert pod in _owners(place)
    place.delete("Pod", pod, "--grace-period=0", "--force")
    assert phase(place.ended(session)) == "Failed", "its host died"

    place.ready_pod("web")
    shop.ends_well(place.trigger())
    assert _owners(place) == []


def _lock(place: Place, pod: str, container: str) -> None:
    """The lock of a restic that waited for its input and was killed in this pod."""
    url = f"rest:http://storage.{place.namespace}.svc:8000/shop"
    line = (
        f"export RESTIC_PASSWORD={PASSWORD} HOME=/tmp RESTIC_REPOSITORY={url};"
        " mkfifo /tmp/input; restic --no-cache backup --stdin < /tmp/input & exec 3> /tmp/input;"
        " until restic --no-cache --no-lock -q list locks | grep -q .; do :; done;"
        " kill -9 $!"
    )
    place.execute(pod, line, container)


def _owners(place: Place) -> list[str]:
    """The machines that hold locks of the repository."""
    names = place.restic("shop", "list", "locks").split()
    return [json.loads(place.restic("shop", "cat", "lock", name))["hostname"] for name in names]
