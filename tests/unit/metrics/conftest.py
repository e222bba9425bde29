"""No test of variables sees those of another one, and seconds pass only by its own sampler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.base.guard import LIBRARY
from pybrpc.base.limited_log import LimitedLog
from pybrpc.metrics import stop_series
from pybrpc.metrics.registry import exposed
from pybrpc.metrics.sampler import replace_default_sampler
from tests.fakes.metrics import SteppedSampler, hide_all


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    """The sampler of the process, for this test."""
    hide_all()
    exposed._log = LimitedLog(LIBRARY)
    stepped = SteppedSampler()
    replace_default_sampler(stepped)
    yield stepped
    replace_default_sampler()
    stop_series()
    hide_all()
