"""Leader election on a Lease: of several operators only one works.

Used by ``tandem run``. The fields and the rules are client-go's, so that its tools can read the
Lease: a holder renews every ``retry`` seconds; who sees no renewal for the lease's duration, by its
own clock, takes over; a holder that cannot renew within ``renew_deadline`` gives up before others
may take over. Time is compared with our own observations only, never with another machine's clock.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable

import attrs

from reconciler.api.resources import LEASES, JsonObject
from reconciler.cluster.port import Port
from reconciler.engine.clock import Clock
from reconciler.errors import NotFound, TandemError

logger = logging.getLogger(__name__)

JITTER = 1.2
"""Waits are drawn from one to 1.2 times ``retry``, as client-go does."""


@attrs.frozen
class Terms:
    """Seconds. The deadline must lie between the retry period and the duration."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __attrs_post_init__(self) -> None:
        if not self.retry * JITTER < self.renew_deadline < self.duration:
            raise ValueError("leader election needs retry * 1.2 < renew deadline < duration")


class LeaderElector:
    """One candidate. ``identity`` must be unique, for example the Pod's name and uid.

    Give it a client of its own whose transport gives up on an answer sooner than the renew
    deadline: a renewal that hangs must not keep us from noticing that the lease is lost.
    """

    def __init__(
        self,
        port: Port,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        terms: Terms | None = None,
    ) -> None:
        self._port, self._clock = port, clock
        self._namespace, self._name, self.identity = namespace, name, identity
        self._terms = terms or Terms()
        self._lease: JsonObject | None = None
        self._observed = clock.monotonic()
        self._renewed: float | None = None
        self._stopping = threading.Condition()
        self._stopped = False
        self._ended = False

    @property
    def holder(self) -> str | None:
        """Who held the lease when we last saw it; "" is nobody, None: we have not seen it yet."""
        return None if self._lease is None else self._lease["spec"].get("holderIdentity") or ""

    @property
    def is_leader(self) -> bool:
        """Whether we hold the lease and may still act on it."""
        return self._seconds_left() > 0

    def run(self, on_started: Callable[[], None], on_stopped: Callable[[], None]) -> None:
        """Wait for the lease, call ``on_started``, and ``on_stopped`` when it is lost or ``stop``.

        Returns then: a process that has lost the lease should end and start afresh. Both calls
        must return soon; an error of ``on_started`` goes to the caller, without ``on_stopped``. A
        lease that we still hold is released.
        """
        if not self._until(lambda: self.is_leader):
            return
        logger.info("became the leader", extra={"lease": self._name, "identity": self.identity})
        try:
            on_started()
            try:
                if self._until(lambda: not self.is_leader):
                    logger.error("lost the lease", extra={"lease": self._name})
            finally:
                on_stopped()
        finally:
            self._end()
            self.release()

    def guard(self, on_lost: Callable[[], None]) -> None:
        """For a thread of its own while we lead: ``on_lost`` as soon as the lease is lost.

        ``run`` notices that only after a request of its own; this does while one hangs, and while
        ``on_stopped`` does. Returns without a word when ``run`` has ended in good order.
        """
        with self._stopping:
            while not self._ended and (left := self._seconds_left()) > 0:
                self._clock.wait(self._stopping, left)
            lost = not self._ended
        if lost:
            on_lost()

    def stop(self) -> None:
        """End ``run``; callable from another thread."""
        with self._stopping:
            self._stopped = True
            self._stopping.notify_all()

    def _end(self) -> None:
        with self._stopping:
            self._ended = True
            self._stopping.notify_all()

    def _seconds_left(self) -> float:
        """How long we may act on the lease if it is not renewed again."""
        renewed = self._renewed
        if renewed is None:
            return 0.0
        return renewed + self._terms.renew_deadline - self._clock.monotonic()

    def step(self) -> float:
        """Try once to get or keep the lease; the seconds until the next try."""
        began = self._clock.monotonic()
        try:
            if self._claim():
                self._renewed = began
        except TandemError as error:
            logger.warning("lease %s/%s: %s", self._namespace, self._name, error)
        return self._terms.retry * self._clock.random.uniform(1.0, JITTER)

    def release(self) -> None:
        """Give the lease up at once, so that a successor need not wait. Faults are only logged."""
        if not self.is_leader or self._lease is None:
            return
        self._renewed = None
        spec = {**self._lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
        spec["renewTime"] = self._moment()
        try:
            self._port.replace(LEASES, {**self._lease, "spec": spec})
        except TandemError as error:
            logger.warning("could not release lease %s: %s", self._name, error)

    def _until(self, reached: Callable[[], bool]) -> bool:
        """Try again and again until ``reached``; False when stopped."""
        while not self._stopped:
            pause = self.step()
            if reached():
                return True
            with self._stopping:
                if not self._stopped:
                    self._clock.wait(self._stopping, pause)
        return False

    def _claim(self) -> bool:
        """Write the lease if it is ours or nobody's; raises Conflict when another was faster."""
        try:
            lease = self._port.get(LEASES, self._namespace, self._name)
        except NotFound:
            self._see(self._port.create(LEASES, self._new_lease()))
            return True
        if self._lease is None or lease["spec"] != self._lease["spec"]:
            self._see(lease)
        if self._held_by_another(lease):
            self._renewed = None
            return False
        self._see(self._port.replace(LEASES, {**lease, "spec": self._next_spec(lease["spec"])}))
        return True

    def _see(self, lease: JsonObject) -> None:
        self._lease, self._observed = lease, self._clock.monotonic()

    def _held_by_another(self, lease: JsonObject) -> bool:
        spec = lease["spec"]
        if spec.get("holderIdentity") in {None, "", self.identity}:
            return False
        duration = float(spec.get("leaseDurationSeconds") or self._terms.duration)
        return self._clock.monotonic() < self._observed + duration

    def _next_spec(self, spec: JsonObject) -> JsonObject:
        mine = spec.get("holderIdentity") == self.identity
        changes = int(spec.get("leaseTransitions") or 0)
        return {
            **self._own_spec(),
            "acquireTime": spec.get("acquireTime") if mine else self._moment(),
            "leaseTransitions": changes if mine else changes + 1,
        }

    def _new_lease(self) -> JsonObject:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**self._own_spec(), "acquireTime": self._moment(), "leaseTransitions": 0},
        }

    def _own_spec(self) -> JsonObject:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self._terms.duration),
            "renewTime": self._moment(),
        }

    def _moment(self) -> str:
        """metav1.MicroTime."""
        return self._clock.now().astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
