"""Shared access rules go with the last that needs them, and with nobody before."""

from __future__ import annotations

import datetime as dt

import pytest

from reconciler.api import resources as r
from reconciler.api.resources import BACKUP_BATCHES, Key
from reconciler.decisions import invoker
from reconciler.manifests import labels

OURS = ("stash-cron-job",)


def decide(view, make, name="web", after=dt.timedelta(0)):
    plan = invoker.decide_for(BACKUP_BATCHES)(
        Key("shop", name), view, make.now + after, make.settings
    )
    view.carry_out(plan)
    return plan


def shared(view):
    kinds = ("ServiceAccount", "RoleBinding")
    return {name for kind, _, name in view.objects if kind in kinds}


@pytest.fixture
def leaving(view, make):
    """A set-up batch without workloads that is being deleted."""
    view.add(make.secret(), make.repository(phase="Ready"), make.claim(), *make.catalog())
    view.add(make.batch(make.member("PersistentVolumeClaim", "uploads")))
    decide(view, make)
    assert set(OURS) <= shared(view)
    view.set_meta("BackupBatch", "web", deletionTimestamp=make.stamp(make.now))
    return view


def test_with_the_last_batch_of_a_namespace_its_shared_access_goes(leaving, make):
    decide(leaving, make)
    assert not shared(leaving)
    assert leaving.at("BackupBatch", "web")["metadata"]["finalizers"] == []


@pytest.mark.parametrize(
    "keep",
    [
        lambda v, m: v.add(m.batch(name="other")),
        lambda v, m: v.add(
            {
                "apiVersion": r.RESTORE_SESSIONS.api_version,
                "kind": "RestoreSession",
                "metadata": {"name": "again"},
                "spec": {},
            }
        ),
        lambda v, m: v.add(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "maintenance", "labels": dict(labels.COMMON)},
            }
        ),
    ],
    ids=["another batch", "a restore", "a Job of ours"],
)
def test_what_somebody_still_needs_stays(leaving, make, keep):
    keep(leaving, make)
    decide(leaving, make)
    assert set(OURS) <= shared(leaving)
    assert leaving.at("BackupBatch", "web")["metadata"]["finalizers"] == []


def test_what_is_a_users_own_or_is_going_stays(leaving, make):
    leaving.set_meta("ServiceAccount", "stash-cron-job", labels={})
    leaving.set_meta("RoleBinding", "stash-cron-job", deletionTimestamp=make.stamp(make.now))
    decide(leaving, make)
    assert shared(leaving) == {"stash-cron-job"}


def test_a_batch_that_goes_too_does_not_keep_them(leaving, make):
    leaving.add(make.batch(name="other"))
    leaving.set_meta("BackupBatch", "other", deletionTimestamp=make.stamp(make.now))
    decide(leaving, make)
    assert not shared(leaving)
