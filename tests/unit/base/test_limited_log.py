from __future__ import annotations

import pytest

from pybrpc.base import limited_log
from pybrpc.base.guard import LIBRARY
from pybrpc.base.limited_log import PAUSE_S, LimitedLog
from pybrpc.testing.step_dispatcher import FakeClock


def test_limited_log_warns_once_a_second_and_counts_the_omitted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    monkeypatch.setattr(limited_log, "time", clock)
    log = LimitedLog(LIBRARY)
    for number in range(3):
        log.warn("bad input from %s", number, reason=ValueError("no"))
    clock.advance(PAUSE_S)
    log.warn("bad input from %s", 3)
    clock.advance(PAUSE_S)
    log.warn("bad input from %s", 4)
    assert [record.getMessage() for record in caplog.records] == [
        "bad input from 0",
        "bad input from 3 (and 2 more like it)",
        "bad input from 4",
    ]
    assert "ValueError: no" in caplog.text
