"""Calls whose owner never ends them: they are given up, and a late end changes nothing."""

from __future__ import annotations

import pytest

from pybrpc.client.calls.attempt import Attempt
from pybrpc.errors import (
    ErrorCode,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from tests.fakes.connections import (
    FakeConnection,
    nothing,
    start,
)


def lose(connection: FakeConnection) -> Attempt:
    """Claim the attempt, as a thread does that then ends without ending the call."""
    attempt = connection.take_number(max(connection.pending))
    assert attempt is not None
    return attempt


def test_call_that_its_owner_lost_is_given_up() -> None:
    connection, controller = FakeConnection(), Controller()
    call = start(connection, controller=controller)
    lose(connection)
    assert not call.expire()
    assert call.ends == []
    call.give_up()
    (error,) = call.ends
    assert isinstance(error, RpcTimeoutError)
    assert controller.error_code == ErrorCode.ERPCTIMEDOUT
    assert connection.timeouts.calls == []


@pytest.mark.parametrize("late", ["response", "failure", "error response", "expire", "give_up"])
def test_end_that_comes_after_a_call_was_given_up_changes_nothing(late: str) -> None:
    connection, controller = FakeConnection(), Controller()
    call = start(connection, controller=controller, max_retry=0)
    attempt = lose(connection)
    call.give_up()
    broken = make_rpc_error(ErrorCode.EEOF, "broken")
    {
        "response": lambda: call.on_response(attempt, RpcResponse(1)),
        "failure": lambda: call.on_attempt_failed(attempt, broken),
        "error response": lambda: call.on_error_response(attempt, broken),
        "expire": call.expire,
        "give_up": call.give_up,
    }[late]()
    assert len(call.ends) == 1
    assert controller.error_code == ErrorCode.ERPCTIMEDOUT
    assert connection.pending == {}


def test_owner_that_comes_back_after_a_call_was_given_up_does_not_send_it_again() -> None:
    connection = FakeConnection()
    call = start(connection)
    attempt = lose(connection)
    assert not call.expire()
    call.give_up()
    call.on_attempt_failed(attempt, make_rpc_error(ErrorCode.EEOF, "broken"))
    assert (len(call.ends), connection.sent) == (1, 1)
    assert connection.timeouts.entries == []


@pytest.mark.parametrize("earlier", [0, 1])
def test_attempt_that_is_sent_while_its_call_is_given_up_is_cancelled(earlier: int) -> None:
    def give_up(connection: FakeConnection, attempt: Attempt) -> None:
        attempt.call.give_up()  # type: ignore[attr-defined]

    connection = FakeConnection(*[nothing] * earlier, give_up)
    call = start(connection)
    for _ in range(earlier):
        connection.break_down()
    assert (len(call.ends), connection.sent) == (1, 1 + earlier)
    assert (connection.pending, connection.timeouts.entries) == ({}, [])
    assert connection.requests[-1].is_canceled
