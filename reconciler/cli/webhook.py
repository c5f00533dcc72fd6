"""``tandem webhook``: the optional admission webhook."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

import typer

from reconciler.cli import connection, options, waiting
from reconciler.cli.console import Format
from reconciler.errors import TerminalError


def webhook(
    kubeconfig: options.Kubeconfig = None,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace", "-n", metavar="NAMESPACE", help="Namespace of its Service and Secret."
        ),
    ] = "tandem",
    name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of its Service, its Secret and its ValidatingWebhookConfiguration.",
        ),
    ] = "tandem-webhook",
    also_named: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A further name or address in its certificate, for a configuration with a url.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Listen here only; default: everywhere."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="NUMBER", help="Listen on this port.")
    ] = 9443,
    output: options.Output = Format.TEXT,
) -> None:
    """Deny broken BackupBatches, Repositories and the like before they are stored.

    It is optional: the operator tells the same faults in conditions. It makes and renews its own
    certificates. Install it with deploy/webhook; see docs/webhook.md.

    Example: tandem webhook --namespace tandem

    Exit codes: 0 stopped on request, 1 failed, 2 wrong usage.
    """
    from reconciler.admission.keeper import Place
    from reconciler.admission.service import Webhook
    from reconciler.engine.clock import SystemClock
    from reconciler.observability import logs

    clock = SystemClock()
    logs.configure(clock, stream=sys.stderr, style="text" if output is Format.TEXT else "json")
    place = Place(
        namespace=namespace,
        name=name,
        names=(f"{name}.{namespace}.svc", *(also_named or ())),
    )
    made = Webhook(connection.connect(kubeconfig), clock, place, host=host, listen=port)
    with waiting.until_told_to_stop() as told:

        def stop_when_told() -> None:
            told.wait()
            made.stop()

        threading.Thread(target=stop_when_told, name="stop", daemon=True).start()
        try:
            made.run()
        except OSError as error:
            raise TerminalError(f"--port {port}: {error.strerror}; take another one") from error
