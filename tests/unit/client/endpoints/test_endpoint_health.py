"""EndpointHealth decides without a clock, a timer or a connection."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from typing import Any, cast

import pytest

from pybrpc.base.backoff import Backoff
from pybrpc.client.endpoints.endpoint_health import DEFAULT_DIAL_BACKOFF, EndpointHealth
from pybrpc.errors import ConnectError, Phase, make_rpc_error

REFUSED = make_rpc_error(
    errno.ECONNREFUSED, "Fail to connect a:1: refused", phase=Phase.CONNECT, peer="a:1"
)
SILENT = make_rpc_error(
    errno.ETIMEDOUT, "Fail to connect a:1 in time", phase=Phase.CONNECT, peer="a:1"
)
DOUBLING = Backoff(first_s=1, factor=2, max_s=8, jitter=0.5)


def make_health(chance: float = 0.0) -> EndpointHealth:
    return EndpointHealth(DOUBLING, lambda: chance)


def test_endpoint_is_up_until_connecting_fails() -> None:
    health = make_health()
    assert not health.is_down
    assert health.why(0) is None
    assert health.on_failure(REFUSED, 100.0) == 101.0
    assert health.is_down
    assert health.cause is REFUSED


@pytest.mark.parametrize(
    "result", [KeyError, SystemExit, GeneratorExit, MemoryError, -1.0, math.inf, math.nan, "soon"]
)
def test_backoff_of_the_user_that_fails_is_replaced_by_the_default(result: Any) -> None:
    class Odd(Backoff):
        __slots__ = ()

        def delay_s(self, attempt: int, random: Callable[[], float]) -> float:
            if isinstance(result, type):
                raise result
            return cast(float, result)

    health = EndpointHealth(Odd(), lambda: 0.0)
    assert health.on_failure(REFUSED, 100.0) == 100.0 + DEFAULT_DIAL_BACKOFF.first_s
    assert health.begin_dial()
    assert health.on_dial_failure(REFUSED, 200.0) == 200.0 + DEFAULT_DIAL_BACKOFF.delay_s(
        1, lambda: 0.0
    )


def test_health_plans_one_dial_for_many_failures() -> None:
    health = make_health()
    health.on_failure(REFUSED, 100.0)
    assert health.on_failure(SILENT, 100.5) is None
    assert health.cause is SILENT
    assert health.begin_dial()
    assert health.on_failure(REFUSED, 100.6) is None
    assert not health.begin_dial()


def test_dials_come_less_and_less_often() -> None:
    health = make_health()
    now = health.on_failure(REFUSED, 100.0)
    waits = []
    for _ in range(6):
        assert now is not None
        assert health.begin_dial()
        due = health.on_dial_failure(SILENT, now)
        assert due is not None
        waits.append(due - now)
        now = due
    assert waits == [2, 4, 8, 8, 8, 8]
    assert health.failures == 7


def test_jitter_spreads_dials_after_a_common_failure() -> None:
    assert make_health(chance=1.0).on_failure(REFUSED, 100.0) == 100.5


def test_success_resets_the_backoff() -> None:
    health = make_health()
    health.on_failure(REFUSED, 100.0)
    health.begin_dial()
    health.on_dial_failure(REFUSED, 101.0)
    health.on_success()
    assert not health.is_down
    assert not health.begin_dial(), "a timer that comes too late dials nothing"
    assert health.on_failure(REFUSED, 200.0) == 201.0


def test_dial_that_fails_after_the_endpoint_came_up_is_ignored() -> None:
    health = make_health()
    health.on_failure(REFUSED, 100.0)
    health.begin_dial()
    health.on_success()
    assert health.on_dial_failure(SILENT, 101.0) is None
    assert not health.is_down


def test_error_has_the_cause_and_the_time_of_the_next_dial() -> None:
    health = make_health()
    health.on_failure(REFUSED, 100.0)
    error = health.why(100.4)
    assert isinstance(error, ConnectError)
    assert (error.code, error.phase, error.peer) == (errno.ECONNREFUSED, Phase.CONNECT, "a:1")
    assert error.text == "Fail to connect a:1: refused (down for 0.4 s, next dial in 0.6 s)"
    health.begin_dial()
    error = health.why(101.0)
    assert error is not None
    assert error.text == "Fail to connect a:1: refused (down for 1.0 s, being dialled now)"
    assert REFUSED.text == "Fail to connect a:1: refused", "each caller gets an error of its own"


def test_repr_names_the_state() -> None:
    health = make_health()
    assert repr(health) == "<EndpointHealth up>"
    health.on_failure(REFUSED, 100.0)
    assert repr(health) == ("<EndpointHealth down after 1 dials: Fail to connect a:1: refused>")
