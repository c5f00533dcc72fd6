"""The clusters that scenarios run on, and a namespace for each scenario.

A scenario asks for ``place``; it then runs once on each cluster. ``-m embedded`` and ``-m node``
choose one (``tox -e acceptance-embedded``, ``tox -e acceptance-node``). What a marker
``only_on_a_node`` is on says why it cannot run on the embedded one.
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance import embedded, node
from acceptance.cluster import Cluster
from acceptance.place import MakePlace, Place

_IS_OTHERS = pytest.StashKey[bool]()
"""Whether the node belongs to somebody else, also to a run beside this one."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_IS_OTHERS] = node.is_up() or config.option.markexpr == "embedded"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A node that this run has started ends with it: by the process that started the others."""
    config = session.config
    if hasattr(config, "workerinput") or config.stash.get(_IS_OTHERS, True):
        return
    if node.is_up():
        node.kit("down")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A scenario that needs a real node is not there on the embedded cluster."""
    apart = [
        item
        for item in items
        if item.get_closest_marker("only_on_a_node") and item.get_closest_marker("embedded")
    ]
    if apart:
        config.hook.pytest_deselected(items=apart)
        items[:] = [item for item in items if item not in apart]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """On the one node, a scenario marked ``alone`` waits for the others, and they for it."""
    if not item.get_closest_marker("node"):
        return (yield)
    with _locked("turn", fcntl.LOCK_EX) as turn:
        how = fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH
        with _locked("use", how):
            # who waits for the others keeps its turn meanwhile, so none of them comes again first
            fcntl.flock(turn, fcntl.LOCK_UN)
            return (yield)


@contextlib.contextmanager
def _locked(what: str, how: int) -> Iterator[int]:
    """A lock among the processes of a run."""
    with (Path(tempfile.gettempdir()) / f"tandem-{node.NAME}-{what}.lock").open("w") as file:
        fcntl.flock(file, how)
        yield file.fileno()


@pytest.fixture(
    scope="session",
    params=[
        pytest.param("embedded", marks=pytest.mark.embedded),
        pytest.param("node", marks=pytest.mark.node),
    ],
)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    if request.param == "node":
        with node.running(tmp_path_factory.mktemp("node")) as real:
            yield real
        return
    if why := embedded.missing():
        node.absent(why)
    with embedded.Embedded.running(tmp_path_factory.mktemp("embedded")) as model:
        yield model


@pytest.fixture
def places(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[MakePlace]:
    """Namespaces of the scenario's own, each with a storage server for its repositories."""
    with contextlib.ExitStack() as stack:
        yield lambda suffix: stack.enter_context(Place.made(cluster, request.node.name + suffix))


@pytest.fixture
def place(places: MakePlace) -> Place:
    """One such namespace."""
    return places("")
