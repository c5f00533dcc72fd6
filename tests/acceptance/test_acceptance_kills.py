"""Whatever dies during a session, the session ends, and rightly.

The operator is killed at ten moments. A moment is a state of the world; two backups are held, so
that it is reached while the session is still under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from acceptance.cluster import Cluster
from acceptance.place import Place, names, phase, phases, stats, targets
from acceptance.shop import HOSTS, Shop, held

Moment = Callable[[Place, str], object]


def _status(place: Place, session: str) -> dict[str, object]:
    return place.get("BackupSession", session).get("status") or {}


def _listed(place: Place, session: str) -> bool:
    status = place.get("Repository", "shop").get("status") or {}
    return session in (status.get("activeSessions") or ())


def _reported(place: Place, session: str) -> set[str]:
    return {stat["hostname"] for stat in stats(place.get("BackupSession", session))}


def _has_job(place: Place, start: str) -> bool:
    return any(name.startswith(start) for name in names(place.all("Job")))


EARLY: dict[str, Moment] = {
    "the session has been made": lambda place, session: place.find("BackupSession", session),
    "the Repository lists it": _listed,
    "a target has been told to go": lambda place, session: (
        {"Scheduled", "Running"} & set(phases(place.get("BackupSession", session)).values())
    ),
    "the Job of the claim is there": lambda place, session: _has_job(place, "stash-backup-shop"),
    "both held backups are under way": lambda place, session: all(
        held(place.get("BackupSession", session), target)
        for target in ("Deployment/web", "PersistentVolumeClaim/uploads")
    ),
    "one target has ended and another has not": lambda place, session: (
        _reported(place, session) == {"cache-0", "cache-1"}
    ),
}
"""Reached while the backups are held."""
LATE: dict[str, Moment] = {
    "all hosts are reported": lambda place, session: _reported(place, session) == set(HOSTS),
    "the session is final": lambda place, session: (
        phase(place.get("BackupSession", session)) == "Succeeded"
    ),
    "the maintenance has been started": lambda place, session: _has_job(
        place, "stash-maintain-shop"
    ),
    "the maintenance has ended": lambda place, session: (
        place.get("Repository", "shop")["status"].get("lastMaintainedSession") == session
    ),
}
"""Reached after they have gone on."""


@pytest.fixture(scope="module")
def open_shop(cluster: Cluster) -> Iterator[Shop]:
    """One shop for all moments: each is a session of its own."""
    with Place.made(cluster, "kills") as place:
        yield Shop.opened(place)


@pytest.fixture
def shop(place: Place) -> Shop:
    return Shop.opened(place)


@pytest.mark.parametrize("moment", EARLY)
def test_an_operator_killed_early_in_a_session(open_shop: Shop, moment: str) -> None:
    place = open_shop.place
    open_shop.hold("web", "uploads")
    session = place.trigger()
    place.until(lambda: EARLY[moment](place, session), moment)
    killed = place.cluster.kill_operator()
    open_shop.go_on()
    open_shop.ends_well(session)
    assert place.cluster.leader() != killed, "somebody else leads"


@pytest.mark.parametrize("moment", LATE)
def test_an_operator_killed_late_in_a_session(open_shop: Shop, moment: str) -> None:
    place = open_shop.place
    open_shop.hold("web")
    session = place.trigger()
    place.becomes("BackupSession", session, lambda s: held(s, "Deployment/web"), "is held")
    open_shop.go_on()
    place.until(lambda: LATE[moment](place, session), moment)
    killed = place.cluster.kill_operator()
    open_shop.ends_well(session)
    place.until(lambda: place.cluster.leader() not in ("", killed), "somebody else leads")


@pytest.mark.only_on_a_node("its kubelet")
@pytest.mark.alone("the kubelet is away for all")
def test_a_kubelet_restarted_in_a_backup(shop: Shop) -> None:
    shop.hold("web", "uploads")
    session = shop.place.trigger()
    shop.place.becomes("BackupSession", session, lambda s: held(s, "Deployment/web"), "is held")
    shop.place.cluster.restart_kubelet()
    shop.go_on()
    shop.ends_well(session)


def test_a_pod_deleted_while_its_sidecar_backs_up(shop: Shop) -> None:
    place = shop.place
    shop.hold("web")
    session = place.trigger()
    place.becomes("BackupSession", session, lambda s: held(s, "Deployment/web"), "is held")
    (pod,) = place.pods("web")
    place.delete("Pod", pod["metadata"]["name"], "--grace-period=0", "--force")

    found = place.ended(session)
    # its host was lost, and is said so; the others are what they are
    assert phase(found) == "Failed"
    (lost,) = targets(found)["Deployment/web"]["stats"]
    assert (lost["phase"], bool(lost["error"])) == ("Failed", True)
    others = {stat["hostname"]: stat["phase"] for stat in stats(found) if stat is not lost}
    assert others == {"cache-0": "Succeeded", "cache-1": "Succeeded", "uploads": "Succeeded"}
    # and the next session is as good as any
    place.ready_pod("web")
    shop.ends_well(place.trigger())


def test_a_job_deleted_by_a_user_in_its_backup(shop: Shop) -> None:
    place = shop.place
    shop.hold("uploads")
    session = place.trigger()
    claim = "PersistentVolumeClaim/uploads"
    place.becomes("BackupSession", session, lambda s: held(s, claim), "is held")
    place.delete("Job", f"stash-backup-{session}-2")
    # the agent was told to stop, and says so of its host; the others are what they are
    found = place.ended(session)
    assert phase(found) == "Failed"
    (lost,) = targets(found)[claim]["stats"]
    assert (lost["phase"], bool(lost["error"])) == ("Failed", True)
    others = {stat["hostname"]: stat["phase"] for stat in stats(found) if stat is not lost}
    assert others == {"cache-0": "Succeeded", "cache-1": "Succeeded", "web": "Succeeded"}
    shop.go_on()
    shop.ends_well(place.trigger())
