"""rpcz_query: parameters of /rpcz."""

from __future__ import annotations

import time

import pytest

from pybrpc.builtin.page import PageError
from pybrpc.builtin.rpcz_query import id_of, log_id_of, query_of, time_us
from tests.fakes.pages import request_of


def test_all_parameters() -> None:
    found = query_of(
        request_of(
            "/rpcz?min_latency=1&min_request_size=2&min_response_size=3&log_id=4&error_code=-5"
            "&max_scan=20000"
        )
    )
    assert (found.min_latency_us, found.min_request_size, found.min_response_size) == (1, 2, 3)
    assert (found.log_id, found.error_code, found.max_scan) == (4, -5, 10_000)
    assert query_of(request_of("/rpcz")).max_scan == 100


@pytest.mark.parametrize(
    ("text", "value"), [("0x1F", 31), ("12", 12), ("1f", 31), (str(2**64 - 1), 2**64 - 1)]
)
def test_log_ids(text: str, value: int) -> None:
    assert log_id_of(text) == value


def test_times() -> None:
    second = int(time.mktime((2026, 11, 29, 7, 6, 12, 0, 0, -1)))
    assert time_us("2026/11/29-07:06:12") == second * 1_000_000 + 999_999
    assert time_us("2026/11/29-07:06:12.000005") == second * 1_000_000 + 5
    today = time_us("00:00:01")
    assert abs(today / 1e6 - time.time()) < 2 * 86_400


def test_ids_are_hexadecimal() -> None:
    assert id_of("fF", "trace") == 255
    with pytest.raises(PageError, match="Invalid span"):
        id_of("1" * 17, "span")
