"""The engine's name for what it runs; the classes live where decisions may import them."""

from __future__ import annotations

from reconciler.decisions.controller import (
    Controller,
    Keys,
    Watched,
    controller_of,
    nothing,
    owned_by,
)

__all__ = ["Controller", "Keys", "Watched", "controller_of", "nothing", "owned_by"]
