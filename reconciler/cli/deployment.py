"""``deploy/roles.yaml``, generated from the rules of ``access``, each with its reason.

``python -m reconciler.cli.deployment`` writes the file; a test fails when it is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import yaml

from reconciler.api.resources import JsonObject
from reconciler.manifests import access

FILE: Final = Path("deploy/roles.yaml")
HEAD: Final = """\
# Generated from reconciler/manifests/access.py by: python -m reconciler.cli.deployment
#
# What sidecars, backup Jobs, triggers and the operator may do. Install it with the CRDs. The
# operator binds the first three within the namespaces of its batches, and never writes them. The
# last one is its own; its service account gets it by:
#   kubectl create clusterrolebinding tandem-operator --clusterrole=tandem-operator \\
#     --serviceaccount=<namespace>:<service account of the operator>
"""


def render() -> str:
    """The whole file."""
    return HEAD + "".join(_role(role) for role in access.CLUSTER_ROLES)


def _role(role: JsonObject) -> str:
    head = yaml.safe_dump({key: role[key] for key in role if key != "rules"}, sort_keys=False)
    reasons = [why for _, why in access.reasons(role["metadata"]["name"])]
    rules = zip(reasons, role["rules"], strict=True)
    return "---\n" + head + "rules:\n" + "".join(_rule(why, rule) for why, rule in rules)


def _rule(why: str, rule: JsonObject) -> str:
    return f"# {why}\n" + yaml.safe_dump([rule], sort_keys=False, default_flow_style=None)


def main() -> None:
    """Write the file."""
    FILE.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")


if __name__ == "__main__":
    main()
