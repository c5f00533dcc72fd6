"""The built-in Functions and Tasks as a Plan; the operator carries it out when it starts.

Called by the engine once, before the controllers run, and by ``tandem plan``.
"""

from __future__ import annotations

from reconciler.api.resources import FUNCTIONS, TASKS
from reconciler.decisions.plan import Apply, Plan, Settings
from reconciler.manifests import catalog


def plan(settings: Settings) -> Plan:
    """Everything built in, run from the operator's own image."""
    functions = (Apply(FUNCTIONS, obj) for obj in catalog.functions(settings.image))
    return Plan((*functions, *(Apply(TASKS, obj) for obj in catalog.tasks())))
