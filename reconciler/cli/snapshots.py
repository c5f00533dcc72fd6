"""``tandem snapshots``: what is in a repository, asked by a Job inside the cluster."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import attrs
import orjson
import typer

from reconciler.api import hosts
from reconciler.api.metadata import TargetRef
from reconciler.api.resources import REPOSITORIES, JsonObject
from reconciler.cli import answers, connection, console, options
from reconciler.cli.console import Format
from reconciler.cli.errands import Errands
from reconciler.cluster.port import Reader
from reconciler.decisions import world
from reconciler.engine.clock import SystemClock
from reconciler.errors import NotFound, TemporaryError, TerminalError
from reconciler.manifests import jobs


@attrs.frozen
class SnapshotLine:
    """One snapshot. ``size`` is in bytes, where restic says it."""

    id: str
    time: str
    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...] = ()
    size: int | None = None

    @property
    def moment(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.time).astimezone(dt.UTC)


@attrs.frozen
class Filter:
    """Which ones are wanted; an empty field wants all."""

    hosts: Sequence[str] = ()
    paths: Sequence[str] = ()
    tags: Sequence[str] = ()

    def takes(self, snapshot: SnapshotLine) -> bool:
        return (
            (not self.hosts or snapshot.host in self.hosts)
            and (not self.paths or any(_below(snapshot, path) for path in self.paths))
            and (not self.tags or bool(set(self.tags) & set(snapshot.tags)))
        )


def _below(snapshot: SnapshotLine, path: str) -> bool:
    wanted = path.rstrip("/")
    return any(held == wanted or held.startswith(f"{wanted}/") for held in snapshot.paths)


def snapshots(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A batch, or a Repository (repository/NAME where both are)."
        ),
    ],
    namespace: options.Namespace = None,
    host: Annotated[
        list[str] | None, typer.Option(metavar="HOST", help="Of this host only; repeatable.")
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="With this path or one below it; repeatable."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="With this tag; repeatable.")
    ] = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
    timeout: options.Timeout = "5m",
    image: options.Image = "",
    plain: options.Plain = False,
    output: options.Output = Format.TEXT,
) -> None:
    """List the snapshots of a batch or of a whole Repository, the newest first.

    A short-lived Job asks, with the Repository's Secret, which so never leaves the cluster.

    Example: tandem snapshots wordpress -n demo --host deploy-wordpress

    Exit codes: 0 listed (also none), 1 failed, 2 wrong usage.
    """
    seconds = options.seconds(timeout)
    port, place = connection.reach(kubeconfig, context, namespace)
    repository, invoker = subject(port, place, name)
    errands = Errands(port, SystemClock(), place, image, seconds)
    wanted = Filter(host or (), path or (), tag or ())
    own = of_invoker(invoker) if invoker else re.compile("")
    found = [
        each
        for each in reversed(fetch(errands, repository))
        if own.match(each.host) and wanted.takes(each)
    ]
    if output is not Format.TEXT:
        told = {"repository": repository, "snapshots": [attrs.asdict(each) for each in found]}
        console.emit(told, output)
    else:
        console.out(plain=plain).print(answers.snapshot_table(found, SystemClock().now()))


def subject(port: Reader, namespace: str, name: str) -> tuple[str, JsonObject | None]:
    """The Repository that is meant, and the batch, if one was named. Raises NotFound."""
    kind, slash, rest = name.rpartition("/")
    if slash and kind.lower().startswith("repositor"):
        port.get(REPOSITORIES, namespace, rest)
        return rest, None
    try:
        _, obj = connection.find_invoker(port, namespace, rest)
    except NotFound as error:
        if not slash and _is_there(port, namespace, name):
            return name, None
        raise NotFound(f"{error}; nor is there a Repository of this name") from error
    return repository_of(obj), obj


def repository_of(invoker: JsonObject) -> str:
    """The Repository of a batch. Raises TerminalError for one that has none."""
    found = world.repository_name(invoker)
    if not found:
        meta, driver = invoker["metadata"], (invoker.get("spec") or {}).get("driver", "Restic")
        why = (
            "its data are VolumeSnapshots: kubectl get volumesnapshots lists them"
            if driver == "VolumeSnapshotter"
            else "name one in spec.repository.name"
        )
        raise TerminalError(
            f"{invoker['kind']} {meta['namespace']}/{meta['name']} has no Repository; {why}"
        )
    return found


def _is_there(port: Reader, namespace: str, name: str) -> bool:
    try:
        port.get(REPOSITORIES, namespace, name)
    except NotFound:
        return False
    return True


def of_invoker(obj: JsonObject) -> re.Pattern[str]:
    """What the hosts of a batch are called: a StatefulSet has one a pod, a DaemonSet one a node."""
    targets = [member["target"] for member in world.members(obj) if member.get("target")]
    refs = [TargetRef(kind=each["ref"]["kind"], name=each["ref"]["name"]) for each in targets]
    return pattern(
        (ref.kind, hosts.alias_for(ref, str(each.get("alias") or ""), alone=len(targets) == 1))
        for ref, each in zip(refs, targets, strict=True)
    )


def pattern(aliases: Iterable[tuple[str, str]]) -> re.Pattern[str]:
    """The names of the hosts of targets, each a kind and an alias (as ``hosts.host_name``)."""
    return re.compile(f"({'|'.join(_hosts(*each) for each in aliases)})$")


def _hosts(kind: str, alias: str) -> str:
    found = hosts.host_name(kind, alias, pod_name="-\0", node_name="\0")
    number = r"\d+" if kind == "StatefulSet" else ".+"
    return re.escape(found).replace(re.escape("\0"), number)


def fetch(errands: Errands, repository: str) -> list[SnapshotLine]:
    """All snapshots, oldest first. Raises TemporaryError when the log is not whole."""
    found: list[SnapshotLine] = []
    number: int | None = None
    for answer in _answers(errands.run(repository, jobs.listing)):
        if "snapshots" in answer:
            number = answer["snapshots"]
        elif "snapshot" in answer:
            found.append(_line(answer["snapshot"]))
    if number != len(found):
        raise TemporaryError(
            f"Repository {errands.namespace}/{repository}: the Job's log is not whole, {len(found)}"
            f" of {number if number is not None else 'an unknown number of'} snapshots; try again"
        )
    return found


def _answers(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The lines that are answers; the others are what the Job logged."""
    for line in lines:
        if line.startswith("{"):
            try:
                answer = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(answer, dict):
                yield answer


def _line(snapshot: dict[str, Any]) -> SnapshotLine:
    return SnapshotLine(
        id=snapshot["id"],
        time=snapshot["time"],
        host=snapshot["host"],
        paths=tuple(snapshot["paths"]),
        tags=tuple(snapshot.get("tags") or ()),
        size=snapshot.get("size"),
    )
