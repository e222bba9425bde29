"""AttemptEnd: what is reported for one attempt, and that it is reported once."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.client.calls.attempt import Attempt, new_attempt
from pybrpc.client.calls.attempt_end import AttemptEnd, CanceledBy, canceled_by
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.client.calls.retry import RetryPolicy
from pybrpc.errors import ErrorCode, HandlerCanceledError, RpcCanceledError, make_rpc_error
from pybrpc.protocols.message import RpcResponse
from pybrpc.testing.step_dispatcher import FakeClock
from tests.fakes.client_socket import PEER
from tests.fakes.connections import FakeConnection, start


class Watched(FakeConnection):
    """A connection that reports the ends of its attempts to `ends`."""

    def __init__(self, *on_send: Any) -> None:
        super().__init__(*on_send)
        self.ends: list[AttemptEnd] = []

    def send(self, attempt: Attempt) -> None:
        attempt.begin((self.ends.append,))
        super().send(attempt)

    @property
    def codes(self) -> list[tuple[int, CanceledBy | None]]:
        return [(end.code, end.canceled_by) for end in self.ends]


def test_end_has_the_address_and_the_time_since_the_attempt_was_sent(clock: FakeClock) -> None:
    connection = Watched()
    start(connection)
    clock.advance(0.25)
    connection.answer()
    assert connection.ends == [AttemptEnd(PEER, 0, 250_000, None)]


def test_attempt_that_nobody_watches_reports_nothing() -> None:
    any_connection: Any = FakeConnection()
    attempt = new_attempt(start(FakeConnection()), any_connection)
    attempt.report(0)
    assert attempt.listeners is None


def test_attempt_reports_one_end() -> None:
    connection = Watched()
    call = start(connection)
    attempt = connection.take_number(1)
    assert attempt is not None
    attempt.report(1)
    attempt.report(2)
    call.on_response(attempt, RpcResponse(1))
    assert connection.codes == [(1, None)]


def test_retry_is_an_attempt_of_its_own() -> None:
    connection = Watched()
    start(connection)
    connection.break_down(ErrorCode.EPIPE)
    connection.answer_error(77)
    assert connection.codes == [(ErrorCode.EPIPE, None), (77, None)]


def test_response_that_contradicts_itself_is_eresponse() -> None:
    connection = Watched()
    call = start(connection)
    attempt = connection.take_number(1)
    assert attempt is not None
    call.on_bad_response(attempt, "it is odd")
    assert connection.codes == [(ErrorCode.ERESPONSE, None)]


def test_response_that_can_not_be_handled_is_eresponse() -> None:
    connection = Watched()
    call = start(connection)
    attempt = connection.take_number(1)
    assert attempt is not None
    call.on_raised(attempt, MemoryError())
    assert connection.codes == [(ErrorCode.ERESPONSE, None)]


def test_deadline_caller_and_handler_cancel() -> None:
    connection = Watched()
    start(connection).expire()
    call = start(connection)
    call.abort(call.canceled_error())
    start(connection).on_handler_canceled("the caller has gone")
    assert connection.codes == [
        (ErrorCode.ERPCTIMEDOUT, CanceledBy.DEADLINE),
        (ErrorCode.ECANCELED, CanceledBy.CALLER),
        (ErrorCode.ECANCELED, CanceledBy.HANDLER),
    ]


def test_attempt_whose_call_is_given_up_ends_at_its_deadline() -> None:
    connection = Watched()
    call = start(connection)
    assert connection.take_number(1) is not None
    call.give_up()
    assert connection.codes == [(ErrorCode.ERPCTIMEDOUT, CanceledBy.DEADLINE)]


@pytest.mark.parametrize("winner", [1, 2])
def test_other_attempt_is_cancelled_by_the_winner(winner: int) -> None:
    connection = Watched()
    call = start(connection, backup=BackupRequestPolicy(0.01, max_ratio=1))
    assert call.hedge is not None
    call.hedge.expire()
    connection.answer(number=winner)
    expected = [(0, None), (ErrorCode.ECANCELED, CanceledBy.OTHER_ATTEMPT)]
    assert connection.codes == expected


@pytest.mark.parametrize("is_remote", [False, True])
def test_close_by_this_side_cancels(is_remote: bool) -> None:
    connection = Watched()
    call = start(connection, retry=RetryPolicy(codes=frozenset()))
    attempt = connection.take_number(1)
    assert attempt is not None
    error = make_rpc_error(ErrorCode.ECLOSE, "closed", is_remote=is_remote)
    call.on_attempt_failed(attempt, error)
    assert connection.codes == [(ErrorCode.ECLOSE, None if is_remote else CanceledBy.CLOSE)]


def test_reason_of_an_abort_is_read_from_its_error() -> None:
    timeout = make_rpc_error(ErrorCode.ERPCTIMEDOUT, "late")
    assert canceled_by(timeout) is CanceledBy.DEADLINE
    assert canceled_by(HandlerCanceledError("gone")) is CanceledBy.HANDLER
    assert canceled_by(RpcCanceledError("enough")) is CanceledBy.CALLER
