"""Where the API server is and how to prove who we are: the ``kubernetes`` package's job.

Used by ``kubernetes_transport``. Kubeconfigs, contexts, client certificates, exec plugins, OIDC and
the rotating tokens of service accounts are read as every Python client reads them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs
import urllib3
import yaml

from reconciler.errors import TandemError, TerminalError

POOL_SIZE = 64
"""Kept connections: one for each watch and each worker."""


@attrs.frozen
class Connection:
    """A configured pool. ``headers`` gives the authentication of this moment.

    ``configuration`` is the package's own, for what does not go through the pool (WebSockets).
    """

    host: str
    pool: urllib3.PoolManager
    headers: Callable[[], dict[str, str]]
    configuration: Any


def connect(path: str | None = None, context: str | None = None) -> Connection:
    """By the kubeconfig at ``path``; else $KUBECONFIG, the Pod's service account, ~/.kube/config.

    Raises TerminalError when there is none, or it cannot be used.
    """
    from kubernetes.client import Configuration  # noqa: PLC0415 -- 0.3 s that most commands save
    from kubernetes.client.rest import RESTClientObject  # noqa: PLC0415 -- as above
    from kubernetes.config import ConfigException  # noqa: PLC0415 -- as above

    configuration = Configuration()
    configuration.connection_pool_maxsize = POOL_SIZE
    configuration.keep_alive = True
    try:
        _load(configuration, path, context)
        pool = RESTClientObject(configuration).pool_manager
    except (ConfigException, OSError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise _unusable(path, "it is not a kubeconfig") from error

    def headers() -> dict[str, str]:
        settings: Any = configuration.auth_settings().values()
        return {each["key"]: each["value"] for each in settings if each["value"]}

    return Connection(configuration.host.rstrip("/"), pool, headers, configuration)


def default_namespace(path: str | None = None, context: str | None = None) -> str:
    """The namespace of the kubeconfig's context, as kubectl takes it; "" when it names none."""
    import kubernetes.config  # noqa: PLC0415 -- 0.3 s that most commands save

    config: Any = kubernetes.config
    try:
        contexts, active = config.list_kube_config_contexts(path)
    except (config.ConfigException, OSError, ValueError, yaml.YAMLError, TypeError, AttributeError):
        return ""  # ``connect`` has told what is wrong, or did without a kubeconfig
    chosen = next((each for each in contexts if each["name"] == context), active)
    return str((chosen.get("context") or {}).get("namespace") or "")


def _load(configuration: Any, path: str | None, context: str | None) -> None:
    import kubernetes.config  # noqa: PLC0415 -- as above

    config: Any = kubernetes.config
    inside = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    if path is None and context is None and inside:
        config.load_incluster_config(configuration)
    else:
        config.load_kube_config(
            path, context, client_configuration=configuration, persist_config=False
        )


def _unusable(path: str | None, reason: str) -> TandemError:
    where = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
    return TerminalError(
        f"no usable kubeconfig at {where}: {reason}; name one with --kubeconfig or $KUBECONFIG"
    )
