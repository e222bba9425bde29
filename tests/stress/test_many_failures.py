"""200,000 calls of a broken connection, a chain of 100,000 failures: too many for `make test`.

`make stress` runs this; tests/cases/test_callbacks_keep_nobody_waiting.py has a tenth of it.
"""

from __future__ import annotations

import pytest

from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from tests.cases.child import run_in_child
from tests.cases.failing_calls import (
    STEPS_OF_FAILURES,
    calls_begun_by_callbacks_at_an_endpoint_that_is_down,
    failures_before_a_call_of_another_connection_is_answered,
)

pytestmark = pytest.mark.stress

CALLS = 200_000
CHAIN = 100_000
LIMIT_S = 200


@pytest.fixture(autouse=True)
def full_only(rounds: int) -> None:
    if rounds == 1:
        pytest.skip("takes half a minute; `make stress` runs it")


def test_call_is_answered_among_the_failures_of_200_000_others() -> None:
    failures_before, failures = run_in_child(
        failures_before_a_call_of_another_connection_is_answered, CALLS, limit_s=LIMIT_S
    )
    assert failures == CALLS
    assert failures_before < STEPS_OF_FAILURES * MAX_PER_STEP


def test_each_of_100_000_callbacks_calls_again_while_the_endpoint_is_down() -> None:
    assert (
        run_in_child(calls_begun_by_callbacks_at_an_endpoint_that_is_down, CHAIN, limit_s=LIMIT_S)
        == CHAIN
    )
