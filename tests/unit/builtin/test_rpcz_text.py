"""rpcz_text: times, errors and steps as C++ bRPC prints them."""

from __future__ import annotations

import pytest

from pybrpc.builtin.rpcz_text import elapsed_text, error_text, events_of, span_lines
from tests.fakes.spans import ended_span, new_span


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "    .     0"),
        (1498, "    .  1498"),
        (2_000_304, "   2.   304"),
        (-5, "  -0.000005"),
    ],
)
def test_elapsed_times(micros: int, text: str) -> None:
    assert elapsed_text(micros) == text


def test_errors() -> None:
    assert [error_text(code) for code in (0, 2001, 11, 99_999)] == [
        "OK",
        "EINTERNAL",
        "EAGAIN Resource temporarily unavailable",
        "E99999",
    ]


def test_a_step_that_has_not_come_is_left_out() -> None:
    span = ended_span(start_us=1000, latency_us=0)
    assert len(events_of(span, False)) == 2
    assert len(list(span_lines(new_span(), False))) == 2


def test_a_request_that_no_handler_got_has_a_response() -> None:
    span = ended_span(start_us=1000, start_send_us=1005)
    assert [event.text for event in events_of(span, False)][1] == "[Server SPAN#8] Responding"
