"""The webhook as a whole: certificates kept, neighbours watched, reviews answered.

Called by ``tandem webhook``. It looks after the certificates every ``period``; a look that fails
is told and tried again, and what was served before is served on. Without a first certificate
there is no server: the API servers then get no answer, and store what they are given.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from reconciler.admission import review
from reconciler.admission.keeper import Keeper, Place
from reconciler.admission.review import Verdict
from reconciler.admission.server import Server
from reconciler.api.invoker import INVOKERS
from reconciler.api.resources import JsonObject
from reconciler.cluster.informer import InformerCache
from reconciler.cluster.port import Port
from reconciler.engine.clock import Clock
from reconciler.errors import TandemError

logger = logging.getLogger(__name__)

PERIOD = 60.0
"""Seconds between looks at the certificates."""
AGAIN = 5.0
"""Seconds until a failed look is tried again, and until a missing configuration is looked for."""


class Webhook:
    """One replica. ``run`` it in the main thread; ``stop`` it from any."""

    def __init__(
        self,
        port: Port,
        clock: Clock,
        place: Place,
        *,
        host: str | None,
        listen: int,
        period: float = PERIOD,
    ) -> None:
        self._clock, self._period = clock, period
        self._neighbours = InformerCache(port, INVOKERS, clock)
        self._keeper = Keeper(port, clock, place)
        self._server = Server(self._answer, self._is_ready, host=host, port=listen)
        self._serving = False
        self._condition = threading.Condition()
        self._stopped = False

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._server.port

    def run(self) -> None:
        """Until ``stop``. Raises OSError when the port is taken."""
        self._neighbours.start()
        try:
            while not self._stopped:
                self._pause(self.step())
        finally:
            self._server.stop()
            self._neighbours.stop()

    def step(self) -> float:
        """Look after the certificates once; the seconds until the next look."""
        try:
            pair = self._keeper.look()
        except TandemError as error:
            logger.warning("the certificates could not be looked after: %s", error)
            return min(AGAIN, self._period)
        self._server.use(pair)
        if not self._serving:
            self._server.start()
            self._serving = True
            logger.info("answers API servers", extra={"port": self.port})
        return self._period if self._keeper.trusted else min(AGAIN, self._period)

    def stop(self) -> None:
        """End ``run``; idempotent."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()

    def _pause(self, seconds: float) -> None:
        with self._condition:
            if not self._stopped:
                self._clock.wait(self._condition, seconds)

    def _answer(self, asked: Any) -> tuple[JsonObject, Verdict]:
        return review.answer(asked, self._neighbours, self._clock.now())

    def _is_ready(self) -> bool:
        """Whether an API server would trust us: before that, a Service had better not lead here."""
        return self._keeper.trusted
