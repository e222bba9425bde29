"""A real server under twice the load that it can take: goodput with each limit that learns.

Judged by counts, beside those of a server without limit: the machine of the test may be busy, so
that neither does what it could. Handlers sleep 50 ms to leave it as free as possible.
"""

from __future__ import annotations

import pytest

from bench.overload.live import LiveOutcome, load

pytestmark = [pytest.mark.proof, pytest.mark.python_only]

SLEEP_S = 0.050
SECONDS = 8.0


@pytest.fixture(scope="module")
def unlimited() -> LiveOutcome:
    return load("unlimited", 200, SECONDS, SLEEP_S)


def test_without_a_limit_most_calls_are_in_vain(unlimited: LiveOutcome) -> None:
    assert unlimited.in_time <= 0.4 * unlimited.arrived
    assert unlimited.rejected == unlimited.others == 0


@pytest.mark.parametrize("limit", ["auto", "timeout"])
def test_overloaded_server_answers_in_time_what_it_admits(
    limit: str, unlimited: LiveOutcome
) -> None:
    found = load(limit, 200, SECONDS, SLEEP_S)
    assert found.in_time >= 0.7 * (found.arrived - found.rejected)
    assert found.in_time >= 2 * unlimited.in_time
    assert found.ran >= 0.5 * unlimited.ran
    assert found.rejected >= 0.25 * found.arrived
    assert found.others == 0


@pytest.mark.parametrize("limit", ["auto", "timeout"])
def test_server_that_is_half_used_rejects_little(limit: str) -> None:
    found = load(limit, 50, SECONDS, SLEEP_S)
    assert found.rejected <= 0.2 * found.arrived
    assert found.in_time >= 0.7 * found.arrived
