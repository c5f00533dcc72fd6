"""The CronJob that triggers the sessions of an invoker.

Called by the invoker decision. Name, labels, container and pull policy are Stash's (spec 5); what
differs keeps sessions from piling up (spec 10.1) and is said beside it.
"""

from __future__ import annotations

from reconciler.api.decoding import encode
from reconciler.api.invoker import Invoker
from reconciler.api.resources import JsonObject, Resource
from reconciler.api.runtime import RuntimeSettings
from reconciler.manifests import labels, names, runtime, security, volumes

STARTING_DEADLINE_SECONDS = 300
"""A slot that was missed by more is given up: resuming a paused batch starts nothing old. Without
it Kubernetes 1.20 counts all slots since the last start, and with more than a hundred of them (four
days of an hourly batch) starts nothing ever again; with it, only those of so long."""
TRIGGER_DEADLINE_SECONDS = 600
"""The trigger only creates one object. With ``Forbid``, one that hangs would block every slot."""


def build(
    invoker: Invoker, *, resource: Resource, image: str, suspended: bool, active_since: str = ""
) -> JsonObject:
    """The CronJob, in the version that the cluster serves."""
    own = labels.offshoot(invoker.metadata.labels)
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {
            "name": names.cron_job(invoker.name),
            "namespace": invoker.namespace,
            "labels": own,
            **({"annotations": {labels.ACTIVE_SINCE: active_since}} if active_since else {}),
            "ownerReferences": [encode(invoker.owner_reference())],
        },
        "spec": {
            "schedule": invoker.schedule,
            "suspend": suspended,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": STARTING_DEADLINE_SECONDS,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "metadata": {"labels": dict(own)},
                "spec": {
                    "activeDeadlineSeconds": TRIGGER_DEADLINE_SECONDS,
                    "template": {
                        "metadata": {"labels": dict(own)},
                        "spec": _pod(invoker, image),
                    },
                },
            },
        },
    }


def _pod(invoker: Invoker, image: str) -> JsonObject:
    settings = invoker.runtime_settings or RuntimeSettings()
    base: JsonObject = {
        "restartPolicy": "Never",
        "serviceAccountName": names.CRON_JOB_ACCOUNT,
        "containers": [_container(invoker, image, settings)],
    }
    pod = runtime.pod(base, encode(settings.pod) if settings.pod else {})
    return security.with_defaults(pod, image)


def _container(invoker: Invoker, image: str, settings: RuntimeSettings) -> JsonObject:
    base: JsonObject = {
        "name": names.SIDECAR,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "create-backupsession",
            f"--invoker-name={invoker.name}",
            f"--invoker-kind={invoker.kind}",
        ],
        # The slot is read from the Job's name, so a retried pod makes the same session again.
        "env": [volumes.field("JOB_NAME", "metadata.labels['job-name']")],
    }
    return runtime.container(base, encode(settings.container) if settings.container else {})


def service_account(invoker: Invoker) -> str:
    """The service account that the user named for the trigger, or ""."""
    settings = invoker.runtime_settings
    return settings.pod.service_account_name if settings and settings.pod else ""
