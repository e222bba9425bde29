"""The bookkeeping of the tests that raise everything notices lost calls and second ends."""

from __future__ import annotations

from pybrpc.errors import RpcTimeoutError
from tests.raising.entries import Entries


def test_call_that_never_ends_is_a_complaint() -> None:
    entries = Entries()
    entries.new("call").end()
    entries.new("call")
    entries.wait(0.0)
    assert entries.complaints() == ["1 x call: never ended"]


def test_call_that_ends_twice_is_a_complaint() -> None:
    entries = Entries()
    entry = entries.new("call")
    entry.end()
    entry.fail(RpcTimeoutError("late"))
    assert entries.complaints() == ["1 x call: ERPCTIMEDOUT and answered"]


def test_wrong_response_is_a_complaint() -> None:
    entries = Entries()
    entries.new("call").try_end(lambda: "hold 2", "hold 1")
    assert entries.complaints() == ["1 x call: answered with 'hold 2'"]


def test_error_that_is_not_expected_is_a_complaint() -> None:
    entries = Entries()
    entries.new("deadline", "ERPCTIMEDOUT").fail(RpcTimeoutError("late"))
    entries.new("call").fail(RpcTimeoutError("late"))
    assert entries.complaints() == ["1 x call: ERPCTIMEDOUT"]
