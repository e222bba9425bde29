"""Errors of interceptors as RpcErrors, whatever they are."""

from __future__ import annotations

import pytest

from pybrpc.client.channel.intercepted.user_errors import as_rpc_error
from pybrpc.errors import ErrorCode, LimitReachedError


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("wrong"), "ValueError: wrong"),
        (SystemExit(3), "SystemExit: 3"),
        (Mute(), "Mute"),
    ],
)
def test_others_become_the_cause(error: BaseException, text: str) -> None:
    made = as_rpc_error(error, "a.Service.Method")
    assert made.code == ErrorCode.EINTERNAL
    assert made.text.endswith(f"an interceptor of a.Service.Method raised {text}")
    assert made.__cause__ is error


def test_rpc_errors_stay() -> None:
    error = LimitReachedError("full")
    assert as_rpc_error(error, "a.Service.Method") is error
