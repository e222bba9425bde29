"""No test of pages sees variables, series or flags of another one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pybrpc.base.flag_values import FLAGS
from pybrpc.base.guard import SERVER
from pybrpc.base.limited_log import LimitedLog
from pybrpc.builtin import registry
from pybrpc.metrics import stop_series
from pybrpc.metrics.sampler import replace_default_sampler
from tests.fakes.metrics import SteppedSampler, hide_all


@pytest.fixture(autouse=True)
def sampler() -> Iterator[SteppedSampler]:
    """The sampler of the process, for this test."""
    hide_all()
    registry._log = LimitedLog(SERVER)
    stepped = SteppedSampler()
    replace_default_sampler(stepped)
    flags = FLAGS._flags.copy()
    yield stepped
    FLAGS._flags.clear()
    FLAGS._flags.update(flags)
    FLAGS.are_immutable = False
    replace_default_sampler()
    stop_series()
    hide_all()
