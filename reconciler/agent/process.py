"""The edge of the process: its environment, logging, signals, connection and exit code.

Used by ``main`` alone.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

import typer

from reconciler.agent import flags
from reconciler.agent.runner import Stop
from reconciler.agent.surroundings import Surroundings
from reconciler.agent.workshop import Tools
from reconciler.cluster.client import Client
from reconciler.cluster.kubernetes_transport import KubernetesTransport
from reconciler.cluster.port import Port
from reconciler.engine.clock import SystemClock
from reconciler.errors import TandemError

_log = logging.getLogger(__name__)
REFUSED = 1


def surroundings() -> Surroundings:
    """Of this process. Raises a usage error for a broken TANDEM_ROOT_MAP."""
    try:
        return Surroundings.of(os.environ)
    except ValueError as error:
        raise typer.BadParameter(f"TANDEM_ROOT_MAP is not JSON: {error}") from error


def tools(secret_dir: str, scratch_dir: str, enable_cache: str) -> Tools:
    """What the flags and the environment say, with a Stop that SIGTERM and SIGINT set."""
    stop = Stop()

    def told(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    cache = flags.truth(enable_cache)
    return Tools(surroundings(), SystemClock(), stop, secret_dir, scratch_dir, cache)


def finish(kubeconfig: str, work: Callable[[Port], int | None]) -> None:
    """Run a command and exit with its code. An error is one line; a defect, its place.

    The text of an unexpected exception is not printed: it has not been looked at for secrets.
    """
    _log_to_stderr()
    try:
        code = work(_connect(kubeconfig)) or 0
    except TandemError as error:
        _log.error("%s", error)
        code = REFUSED
    except Exception as defect:
        place = "".join(traceback.format_tb(defect.__traceback__))
        _log.error("a defect in the agent: %s\n%s", type(defect).__name__, place)
        code = REFUSED
    raise typer.Exit(code)


def _connect(kubeconfig: str) -> Port:
    return Client(KubernetesTransport.from_kubeconfig(kubeconfig or None))


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    logging.getLogger("urllib3").setLevel(logging.WARNING)
