"""The image has every program that the agent starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
FROM_ELSEWHERE = {"mongodump", "mongorestore"}
"""Not in Debian; docs/installation.md says how to add them."""
OTHER_NAMES = {"mysql": "mariadb", "mysqldump": "mariadb-dump", "mysqladmin": "mariadb-admin"}
"""What is tried where the program of the first name is not there."""
OF_THE_BASE = {"nice", "ionice"}


def programs() -> set[str]:
    """The first words of command lines in the agent, by their names in its sources."""
    databases = r"mongo(?:dump|restore)|redis-[\w-]+|(?:mariadb|mysql|pg)[\w-]*|psql"
    known = rf'"(restic|rclone|nice|ionice|{databases})"'
    sources = (ROOT / "reconciler/agent").glob("*.py")
    found = {name for path in sources for name in re.findall(known, path.read_text("utf-8"))}
    return {OTHER_NAMES.get(name, name) for name in found} - FROM_ELSEWHERE - OF_THE_BASE


@pytest.mark.parametrize("program", sorted(programs()))
def test_the_image_is_built_only_if_the_program_starts(program: str) -> None:
    checks = DOCKERFILE.partition("# each program finds its libraries")[2]
    assert re.search(rf"&& {program} -{{0,2}}version", checks), program
