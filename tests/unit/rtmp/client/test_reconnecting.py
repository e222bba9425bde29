"""When a stream that has ended is opened again."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.rtmp.client.reconnecting import ReconnectPolicy, RetryPlan


def test_first_attempts_begin_at_once_and_later_ones_after_the_interval() -> None:
    plan = RetryPlan(ReconnectPolicy(interval=1.0, fast_retries=2))
    assert [plan.on_end(10.0) for _ in range(4)] == [10.0, 10.0, 11.0, 11.0]


def test_a_stream_that_was_open_for_the_interval_brings_fast_attempts_back() -> None:
    plan = RetryPlan(ReconnectPolicy(interval=1.0, fast_retries=1))
    assert [plan.on_end(0.0), plan.on_end(0.0)] == [0.0, 1.0]
    plan.on_open(1.0)
    assert [plan.on_end(2.0), plan.on_end(2.0)] == [2.0, 3.0]


def test_a_server_that_ends_each_stream_at_once_is_not_asked_without_a_pause() -> None:
    plan = RetryPlan(ReconnectPolicy(interval=1.0, fast_retries=1))
    assert plan.on_end(0.0) == 0.0
    for _ in range(3):
        plan.on_open(0.5)
        assert plan.on_end(0.6) == pytest.approx(1.6)


def test_no_attempt_begins_after_the_longest_duration_of_failure() -> None:
    plan = RetryPlan(ReconnectPolicy(fast_retries=0, max_duration=5.0))
    assert plan.on_end(0.0) == 1.0
    assert plan.on_end(4.9) is not None
    assert plan.on_end(5.0) is None


def test_a_stream_that_was_open_begins_the_duration_anew() -> None:
    plan = RetryPlan(ReconnectPolicy(fast_retries=0, max_duration=5.0))
    plan.on_end(0.0)
    plan.on_open(4.0)
    assert plan.on_end(6.0) is not None
    assert plan.on_end(11.0) is None


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"interval": None}, ValueError),
        ({"interval": -1}, ValueError),
        ({"interval": "1"}, TypeError),
        ({"fast_retries": -1}, ValueError),
        ({"max_duration": "long"}, TypeError),
    ],
)
def test_wrong_numbers_are_refused(options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ReconnectPolicy(**options)
