"""Which local program stands for a container's image."""

from __future__ import annotations

import pytest

from reconciler.decisions.plan import Settings
from reconciler.embedded.nodes import images
from reconciler.embedded.nodes.runtime import Waiting


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("docker.io/library/busybox:1", "busybox"),
        ("library/alpine", "alpine"),
        ("registry.example:5000/team/app:v2", "team/app"),
        ("localhost/app@sha256:abc", "app"),
        ("tandem/tandem:latest", "tandem/tandem"),
    ],
)
def test_an_image_is_known_by_its_name_alone(image: str, name: str) -> None:
    assert images.name_of(image) == name


@pytest.mark.parametrize(
    "image", ["tandem/tandem", "tandem/tandem-agent:v1", "ghcr.io/tandem/tandem:x", "my/own:1"]
)
def test_tandems_own_image_is_this_installation_whatever_it_is_called(image: str) -> None:
    table = images.default_table(Settings(image="registry.example/my/own:2"))
    argv = images.command_of({"image": image, "args": ["maintain"]}, table)
    assert argv == [*images.AGENT, "maintain"]


def test_a_command_stands_above_the_image() -> None:
    container = {"image": "tandem/tandem", "command": ["sh", "-c"], "args": ["true"]}
    assert images.command_of(container, images.default_table(Settings())) == ["sh", "-c", "true"]


def test_arguments_of_a_shell_image_are_its_command() -> None:
    assert images.command_of({"image": "busybox", "args": ["ls", "/"]}, {}) == ["ls", "/"]
    assert images.command_of({"image": "busybox"}, {}) == ["sh"]


def test_the_first_pattern_of_the_table_counts() -> None:
    table = {"mariadb*": ("first",), "*": ("second",)}
    assert images.command_of({"image": "mariadb:11"}, table) == ["first"]
    assert images.command_of({"image": "mysql"}, table) == ["second"]


def test_an_image_that_nothing_stands_for_waits() -> None:
    with pytest.raises(Waiting, match="add the image to the node's image table") as found:
        images.command_of({"image": "strange"}, {})
    assert found.value.reason == "ErrImagePull"
