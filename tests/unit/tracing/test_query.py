"""SpanQuery: its values are checked; which spans fit (see also test_store)."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.tracing.query import MAX_SCAN, SpanQuery
from tests.fakes.spans import ended_span


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("before_us", -1),
        ("min_latency_us", -1),
        ("min_request_size", "5"),
        ("min_response_size", 1.5),
        ("log_id", 2**64),
        ("error_code", True),
        ("max_scan", 0),
        ("max_scan", MAX_SCAN + 1),
        ("limit", 0),
    ],
)
def test_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        SpanQuery(**{name: value})


def test_all_conditions_must_hold() -> None:
    query = SpanQuery(min_latency_us=5, log_id=3)
    assert query.fits(ended_span(latency_us=5, log_id=3))
    assert not query.fits(ended_span(latency_us=4, log_id=3))
    assert not query.fits(ended_span(latency_us=5, log_id=4))


def test_span_without_log_id_has_the_log_id_0() -> None:
    assert SpanQuery(log_id=0).fits(ended_span(log_id=None))


def test_error_code_0_finds_the_calls_that_succeeded() -> None:
    query = SpanQuery(error_code=0)
    assert [query.fits(ended_span(error_code=code)) for code in (0, 1008)] == [True, False]
