"""Every order of everything, up to three targets and two faults: the proof of the machines."""

from __future__ import annotations

import time  # noqa: TID251 -- the processor's time is measured; nothing waits

from statemachines.exploration import configurations, explore

MOST_SECONDS = 60.0
"""Of one processor, for all configurations together."""


def test_no_invariant_is_broken_in_any_order_and_the_proof_takes_less_than_a_minute():
    started = time.process_time()
    for config in configurations():
        result = explore(config)
        assert result.violations == (), result.violations[0].story()
    assert time.process_time() - started < MOST_SECONDS
