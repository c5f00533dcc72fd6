"""``tandem debug``: everything that helps to find a fault, in one archive, without secrets."""

from __future__ import annotations

import importlib.metadata
import io
import platform
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
import orjson
import typer
import yaml

from reconciler.api import resources as r
from reconciler.api.resources import JsonObject, Resource
from reconciler.cli import (
    connection,
    console,
    explanation,
    hiding,
    log_sources,
    options,
    summary,
)
from reconciler.cli.console import Format
from reconciler.cli.live_view import LiveView
from reconciler.cluster.port import Port
from reconciler.decisions.plan import Settings
from reconciler.engine.clock import Clock, SystemClock
from reconciler.errors import TandemError
from reconciler.manifests import installation, labels

EXPLAINED: Final = (
    r.BACKUP_BATCHES,
    r.BACKUP_CONFIGURATIONS,
    r.BACKUP_SESSIONS,
    r.REPOSITORIES,
    r.RESTORE_BATCHES,
    r.RESTORE_SESSIONS,
)
IN_NAMESPACE: Final = (
    *EXPLAINED,
    r.APP_BINDINGS,
    *r.WORKLOADS,
    r.JOBS,
    r.CRON_JOBS,
    r.CRON_JOBS_V1BETA1,
    r.PODS,
    r.PERSISTENT_VOLUME_CLAIMS,
    r.SECRETS,
    r.SERVICE_ACCOUNTS,
    r.ROLE_BINDINGS,
    r.EVENTS,
)
"""No ConfigMaps: they are the users', and nothing of ours reads them."""
OF_CLUSTER: Final = (r.FUNCTIONS, r.TASKS, r.NODES)
LINES: Final = 2000
"""So many last lines of each log."""


def debug(
    namespace: options.Namespace = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="FILE",
            help="The archive; default: tandem-debug-NAMESPACE-TIME.tar.gz here.",
            show_default=False,
        ),
    ] = None,
    operator_namespace: Annotated[
        str, typer.Option(metavar="NAMESPACE", help="Where the operator runs, for its logs.")
    ] = installation.NAMESPACE,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    output: options.Output = Format.TEXT,
) -> None:
    """Collect objects, explanations, events, logs and versions into an archive to send along.

    No value of a Secret is in it: neither where it is kept nor where it was printed. Environment,
    commands and arguments of your own containers are left out too.

    Example: tandem debug -n demo

    Exit codes: 0 written, 1 no answer, 2 wrong usage.
    """
    port, place = connection.reach(kubeconfig, context, namespace)
    clock = SystemClock()
    bundle = Bundle(port, clock, place, operator_namespace)
    files = bundle.files()
    stem = f"tandem-debug-{place}-{clock.now():%Y%m%dT%H%M%SZ}"
    target = file or Path(f"{stem}.tar.gz")
    write(target, stem, files, clock)
    if output is not Format.TEXT:
        told = {"file": str(target), "files": sorted(files), "missing": bundle.missing}
        console.emit(told, output)
        return
    console.out().print(f"{target}: {len(files)} files")
    for each in bundle.missing:
        console.err().print(f"not in it: {each}", soft_wrap=True)


def write(target: Path, stem: str, files: dict[str, str], clock: Clock) -> None:
    """One archive, for nobody else of this machine."""
    target.touch(mode=0o600)
    with tarfile.open(target, "w:gz") as archive:
        for name, text in sorted(files.items()):
            data = text.encode()
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size, entry.mode = len(data), 0o600
            entry.mtime = int(clock.now().timestamp())
            archive.addfile(entry, io.BytesIO(data))


@attrs.define
class Bundle:
    """What is collected. ``missing`` says what could not be had, and why."""

    port: Port
    clock: Clock
    namespace: str
    operator_namespace: str
    missing: list[str] = attrs.field(factory=list)

    def files(self) -> dict[str, str]:
        """Name → text, all of it without secrets."""
        found = {each: self._list(each, self.namespace) for each in IN_NAMESPACE}
        objects = {each.plural: items for each, items in found.items() if items}
        objects |= {each.plural: items for each in OF_CLUSTER if (items := self._list(each, None))}
        clean = hiding.redactor(self._every_secret(found[r.SECRETS]))
        files: dict[str, Any] = {
            f"objects/{plural}.yaml": [hiding.obj(item) for item in items]
            for plural, items in objects.items()
        }
        files |= dict(self._explained(found))
        files |= dict(self._logs(found[r.PODS]))
        files |= dict(self._operator())
        files["status.json"] = attrs.asdict(summary.overview(self.port, self.namespace))
        files["versions.json"] = self._versions(found[r.PODS])
        if self.missing:
            files["missing.txt"] = "".join(f"{each}\n" for each in self.missing)
        return {
            name: clean(_text(name, hiding.everywhere(value, clean)))
            for name, value in files.items()
        }

    def _every_secret(self, own: Iterable[JsonObject]) -> Iterator[JsonObject]:
        yield from own
        yield from self._list(r.SECRETS, self.operator_namespace)

    def _list(self, resource: Resource, namespace: str | None) -> list[JsonObject]:
        try:
            # nobody has rights to a kind that is not there: it would look like a refusal
            if resource in r.OPTIONAL and not self.port.serves(resource):
                return []
            return self.port.list(resource, namespace).items
        except LookupError:
            return []  # not served
        except TandemError as error:
            self.missing.append(f"{resource.plural}: {error}")
            return []

    def _explained(self, found: dict[Resource, list[JsonObject]]) -> Iterator[tuple[str, Any]]:
        settings = Settings()
        view = LiveView(self.port, settings.field_manager)
        for resource in EXPLAINED:
            for obj in found[resource]:
                told = explanation.explain(view, resource, obj, self.clock.now(), settings)
                name = f"explained/{resource.kind.lower()}-{obj['metadata']['name']}.json"
                yield name, attrs.asdict(told)

    def _logs(self, pods: Iterable[JsonObject]) -> Iterator[tuple[str, str]]:
        for pod in pods:
            own = pod["metadata"].get("labels") or {}
            ours = own.get(labels.MANAGED_BY) == labels.COMMON[labels.MANAGED_BY]
            for container in log_sources.containers(pod):
                if ours or container in log_sources.OWN:
                    yield from self._log(pod, container)

    def _operator(self) -> Iterator[tuple[str, Any]]:
        wanted = ",".join(f"{key}={value}" for key, value in installation.LABELS.items())
        try:
            pods = self.port.list(r.PODS, self.operator_namespace, label_selector=wanted).items
        except TandemError as error:
            self.missing.append(f"the operator's pods: {error}")
            return
        if not pods:
            self.missing.append(
                f"the operator's pods: none in namespace {self.operator_namespace}; is it"
                " another one (--operator-namespace), or does the operator run elsewhere?"
            )
        for pod in pods:
            yield f"operator/{pod['metadata']['name']}.yaml", hiding.obj(pod)
            yield from self._log(pod, installation.CONTAINER)

    def _log(self, pod: JsonObject, container: str) -> Iterator[tuple[str, str]]:
        meta = pod["metadata"]
        try:
            lines = list(self.port.logs(meta["namespace"], meta["name"], container, tail=LINES))
        except TandemError as error:
            self.missing.append(f"log of {meta['name']}/{container}: {error}")
            return
        if lines:
            yield f"logs/{meta['name']}-{container}.log", "\n".join(lines) + "\n"

    def _versions(self, pods: Iterable[JsonObject]) -> JsonObject:
        definitions = self._list(r.CUSTOM_RESOURCE_DEFINITIONS, None)
        images = {
            container["image"] for pod in pods for container in pod["spec"].get("containers") or ()
        }
        return {
            "tandem": importlib.metadata.version("tandem-backup"),
            "python": platform.python_version(),
            "kubernetes": self._server(),
            "definitions": {
                each["metadata"]["name"]: [one["name"] for one in each["spec"]["versions"]]
                for each in definitions
                if each["spec"]["group"] in (r.STASH, r.APP_BINDINGS.group)
            },
            "images": sorted(images),
        }

    def _server(self) -> JsonObject:
        try:
            return self.port.version()
        except TandemError as error:
            self.missing.append(f"the server's version: {error}")
            return {}


def _text(name: str, value: Any) -> str:
    """A file's content; nothing is wrapped, for a secret in two lines would not be found."""
    if name.endswith(".yaml"):
        text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=sys.maxsize)
        return text
    if name.endswith(".json"):
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"
    return str(value)
