"""The service account ``default`` of every namespace (Kubernetes' serviceaccount controller).

Run by the embedded cluster; without it no Pod of a namespace could name its account.
"""

from __future__ import annotations

import datetime as dt

from reconciler.api.resources import NAMESPACES, SERVICE_ACCOUNTS, Key
from reconciler.decisions.plan import Create, Plan, Settings, View
from reconciler.embedded.controllers import ownership

NAME = "default"


def decide(key: Key, view: View, now: dt.datetime, settings: Settings) -> Plan:
    """The key is a namespace's."""
    del now, settings
    namespace = view.get(NAMESPACES, "", key.name)
    if namespace is None or ownership.deleting(namespace):
        return Plan()
    if view.get(SERVICE_ACCOUNTS, key.name, NAME) is not None:
        return Plan()
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": key.name},
    }
    return Plan(writes=(Create(SERVICE_ACCOUNTS, account),))
