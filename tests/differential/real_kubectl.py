"""kubectl against a real API server that knows Tandem's kinds."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from reconciler.engine.clock import SystemClock

ROOT = pathlib.Path(__file__).parents[2]

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


def kubectl_with_the_kinds(server: Any, folder: pathlib.Path) -> Kubectl:
    """kubectl for ``server``, into which the definitions in ``crds/`` are installed."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(kubeconfig_of(server)))

    def run(
        *argv: str, given: Any = None, fails: bool | None = False
    ) -> subprocess.CompletedProcess[str]:
        """``fails``: whether it must; None: it may."""
        done = subprocess.run(
            ["kubectl", *argv],
            input=None if given is None else json.dumps(given),
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert fails is None or (done.returncode != 0) == fails, done.stderr
        return done

    run("apply", "-f", str(ROOT / "crds"))
    run("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    until_served(run)
    return run


def kubeconfig_of(server: Any) -> dict[str, Any]:
    """For a server of these tests, which is on this machine: its certificate is not checked."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "real",
                "cluster": {"server": server.url, "insecure-skip-tls-verify": True},
            }
        ],
        "users": [{"name": "admin", "user": {"token": server.token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "admin"}}],
        "current-context": "real",
    }


def until_served(run: Kubectl) -> None:
    """Discovery and the validating schema follow the condition a moment later."""
    clock = SystemClock()
    deadline = clock.monotonic() + 30
    while clock.monotonic() < deadline:
        if "executionOrder" in run("get", "--raw", "/openapi/v2").stdout:
            return
        clock.sleep(0.2)
    pytest.fail("the API server does not publish the schema of BackupBatch")
