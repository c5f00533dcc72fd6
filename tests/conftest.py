"""What every test shares: the Hypothesis profiles.

Hypothesis loads a profile ``ci`` of its own where ``CI`` is set, which tries the same examples in
every run; ours takes its name and stays random, so that each run of CI searches somewhere new. A
failing example is printed as a ``@reproduce_failure`` line.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=200,
    deadline=None,  # two cores are shared with other tests: slowness proves nothing
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", parent=settings.get_profile("ci"), max_examples=2000)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if "CI" in os.environ else "dev")
)
