"""What is wrong with the meaning of an object that has the right shape.

``validate`` finds all faults at once, each with its path, value and remedy. Wrong types and
misspelt keys never get here: ``decoding`` finds those. Used by the operator (condition ``Valid``),
by ``tandem plan`` and by the embedded server's users. Pure: what depends on other objects (is the
Repository there?) is the business of decisions.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from reconciler.api.app_binding import AppBinding
from reconciler.api.backup import BackupBatch, BackupConfiguration
from reconciler.api.backup_rules import invoker_faults
from reconciler.api.invoker import INVOKERS, Invoker
from reconciler.api.repository import Repository
from reconciler.api.repository_rules import repository_faults
from reconciler.api.restore import RestoreBatch, RestoreSession
from reconciler.api.restore_rules import restore_batch_faults, restore_session_faults
from reconciler.api.rules import one_of
from reconciler.api.session import BackupSession
from reconciler.api.task import Function, Task
from reconciler.errors import Fault


def validate(obj: object) -> tuple[Fault, ...]:
    """Every fault of an object of this API, or of an ``Invoker``; empty: it can be used."""
    return tuple(_faults(obj))


@functools.singledispatch
def _faults(obj: object) -> Iterator[Fault]:
    raise TypeError(f"{type(obj).__name__} is not a kind of this API")


@_faults.register
def _invoker(obj: Invoker) -> Iterator[Fault]:
    return invoker_faults(obj)


@_faults.register
def _batch(obj: BackupBatch) -> Iterator[Fault]:
    return invoker_faults(Invoker.of(obj))


@_faults.register
def _configuration(obj: BackupConfiguration) -> Iterator[Fault]:
    return invoker_faults(Invoker.of(obj))


@_faults.register
def _repository(obj: Repository) -> Iterator[Fault]:
    return repository_faults(obj)


@_faults.register
def _restore_session(obj: RestoreSession) -> Iterator[Fault]:
    return restore_session_faults(obj)


@_faults.register
def _restore_batch(obj: RestoreBatch) -> Iterator[Fault]:
    return restore_batch_faults(obj)


@_faults.register
def _session(obj: BackupSession) -> Iterator[Fault]:
    kinds = tuple(resource.kind for resource in INVOKERS)
    yield from one_of("spec.invoker.kind", obj.spec.invoker.kind, kinds)


@_faults.register
def _function(obj: Function) -> Iterator[Fault]:
    if not obj.spec.image:
        yield Fault("spec.image", "is missing", "name the container image")


@_faults.register
def _task(obj: Task) -> Iterator[Fault]:
    if not obj.spec.steps:
        yield Fault("spec.steps", "has no step", "name the Functions to run")


@_faults.register
def _app_binding(obj: AppBinding) -> Iterator[Fault]:
    config = obj.spec.client_config
    if (config.url is None) == (config.service is None):
        yield Fault(
            "spec.clientConfig",
            "must say in one way where the application is",
            "write either url or service",
        )
