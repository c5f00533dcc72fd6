"""Waits, before the operator works, until the cluster has Tandem's kinds as this Tandem needs them.

Used by ``run``. What is lacking is logged once, and told by /readyz; it is looked at again every
few seconds while something is lacking, and never after that.
"""

from __future__ import annotations

import logging
import threading

import attrs

from reconciler.api import definitions
from reconciler.api.crds import KINDS
from reconciler.api.resources import CUSTOM_RESOURCE_DEFINITIONS, STASH, JsonObject
from reconciler.cluster.port import Reader
from reconciler.errors import ApiUnavailable, Forbidden, NotFound

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds."""


@attrs.define
class Kinds:
    """The kinds of one cluster. ``problems``: what is lacking, as far as is known."""

    reader: Reader
    problems: tuple[str, ...] = ()

    def wait(self, told_to_stop: threading.Event) -> None:
        """Return when nothing is lacking, or when told to stop."""
        while not told_to_stop.is_set():
            found = self._look()
            if found != self.problems:
                for sentence in found:
                    logger.error("cannot work: %s", sentence)
                if not found:
                    logger.info("all kinds are there as they should be")
            self.problems = found
            if not found:
                return
            told_to_stop.wait(LOOK_EVERY)

    def _look(self) -> tuple[str, ...]:
        try:
            sentences = [definitions.lack(each, self._read(each)) for each in definitions.wanted()]
        except ApiUnavailable as error:
            return (str(error),)
        except Forbidden as error:
            logger.warning("whether the kinds are those of this Tandem is not known: %s", error)
            return ()
        # a definition is there a little before its kind is served
        return tuple(filter(None, sentences)) or self._unserved()

    def _read(self, definition: JsonObject) -> JsonObject | None:
        try:
            return self.reader.get(
                CUSTOM_RESOURCE_DEFINITIONS, "", str(definition["metadata"]["name"])
            )
        except NotFound:
            return None

    def _unserved(self) -> tuple[str, ...]:
        own = [kind.resource for kind in KINDS if kind.resource.group == STASH]
        return tuple(
            f"{each.plural}.{each.group} is not served yet"
            for each in own
            if not self.reader.serves(each)
        )
