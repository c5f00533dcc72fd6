"""What the tests of the engine share."""

from __future__ import annotations

import pytest
from loop_world import World


@pytest.fixture
def world() -> World:
    return World()
