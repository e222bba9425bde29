"""Call against a connection that the test plays: what ends it, in which phase, with what."""

from __future__ import annotations

import weakref

import pytest

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.backup_policy import BackupRequestPolicy
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    Phase,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.protocols.message import RpcResponse
from pybrpc.transport.writing.write_request import Progress
from tests.fakes.connections import (
    FakeConnection,
    OnSend,
    nothing,
    raise_error,
    start,
)
from tests.protos import conformance_pb2 as pb


def cancel(connection: FakeConnection, attempt: Attempt) -> None:
    assert not attempt.call.abort(attempt.call.canceled_error())


def expire(connection: FakeConnection, attempt: Attempt) -> None:
    attempt.call.expire()


def test_answer_ends_the_call() -> None:
    connection = FakeConnection()
    call = start(connection)
    response = RpcResponse(1, body=pb.EchoResponse(message="y").SerializeToString())
    connection.answer(response)
    assert call.ends == [response]
    assert call.message() == pb.EchoResponse(message="y")
    assert connection.timeouts.calls == []


@pytest.mark.parametrize(
    ("on_send", "kind"), [(cancel, RpcCanceledError), (expire, RpcTimeoutError)]
)
@pytest.mark.parametrize("earlier", [0, 1, 2])
def test_abort_between_two_attempts_ends_the_call(
    on_send: OnSend, kind: type[RpcError], earlier: int
) -> None:
    """It comes while the attempt is not pending yet: nobody can take it out."""
    connection = FakeConnection(*[nothing] * earlier, on_send)
    call = start(connection)
    for _ in range(earlier):
        connection.break_down()
    (end,) = call.ends
    assert type(end) is kind
    assert connection.pending == {}
    assert connection.timeouts.calls == []
    assert connection.sent == earlier + 1


def test_abort_after_the_end_changes_nothing() -> None:
    connection = FakeConnection()
    call = start(connection)
    connection.answer(RpcResponse(1))
    assert not call.abort(call.canceled_error())
    call.expire()
    assert len(call.ends) == 1
    assert call.error is None


@pytest.mark.parametrize(
    ("is_connected", "progress", "phase"),
    [
        (False, Progress.QUEUED, Phase.CONNECT),
        (True, Progress.QUEUED, Phase.QUEUED),
        (True, Progress.SENT, Phase.SENT),
        (True, Progress.WRITTEN, Phase.WAITING),
    ],
)
@pytest.mark.parametrize("end", ["expire", "break_down"])
def test_phase_says_how_far_the_call_had_come(
    is_connected: bool, progress: Progress, phase: Phase, end: str
) -> None:
    connection = FakeConnection()
    call = start(connection, max_retry=0)
    connection.socket.is_connected = is_connected
    call._place.write_request.progress = progress  # type: ignore[union-attr]
    if end == "expire":
        call.expire()
    else:
        connection.break_down()
    (error,) = call.ends
    assert (error.phase, error.peer) == (phase, "10.0.0.1:8000")


def test_phase_of_an_aborted_call_is_that_in_which_it_was_claimed() -> None:
    """It is written while its deadline ends it: a caller that reads "queued" may repeat it."""
    connection = FakeConnection()
    call = start(connection)
    connection.requests[0].progress = Progress.QUEUED
    take = connection.take

    def write_and_take(attempt: Attempt) -> bool:
        connection.requests[0].progress = Progress.SENT
        return take(attempt)

    connection.take = write_and_take  # type: ignore[method-assign]
    call.expire()
    (error,) = call.ends
    assert error.phase is Phase.SENT


def test_phase_of_a_send_on_a_connection_that_had_failed_already() -> None:
    """Not that in which the connection failed: of this call nothing had left."""

    def refuse(connection: FakeConnection, attempt: Attempt) -> None:
        attempt.write_request.progress = Progress.QUEUED  # type: ignore[union-attr]
        raise make_rpc_error(ErrorCode.EEOF, "refused", phase=Phase.WAITING)

    call = start(FakeConnection(*[refuse] * 99), max_retry=0)
    (error,) = call.ends
    assert error.phase is Phase.QUEUED


def test_repr() -> None:
    connection = FakeConnection()
    call = start(connection)
    assert repr(call) == "<FakeCall conformance.EchoService.Echo in flight>"
    call.expire()
    assert repr(call) == "<FakeCall conformance.EchoService.Echo failed>"


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("end", ["answer", "break_down"])
@pytest.mark.parametrize("backup", [None, BackupRequestPolicy(0.01)])
def test_ended_call_is_freed_without_the_garbage_collector(
    end: str, backup: BackupRequestPolicy | None
) -> None:
    connection = FakeConnection()
    call = weakref.ref(start(connection, max_retry=0, backup=backup))
    getattr(connection, end)()
    assert call() is None


@pytest.mark.parametrize("code", [ErrorCode.EFAILEDSOCKET, ErrorCode.EOVERCROWDED])
def test_connection_that_refuses_an_attempt_is_released(code: int) -> None:
    connection = FakeConnection(raise_error(code), nothing)
    start(connection)
    assert connection.given_back == 1


@pytest.mark.parametrize("code", [ErrorCode.EEOF, ErrorCode.EINTERNAL])
def test_call_that_is_cancelled_while_its_attempt_fails_is_cancelled(code: int) -> None:
    """The failure has taken the attempt out already, so it must do what was asked for."""
    connection = FakeConnection()
    call = start(connection)
    attempt = connection.take_number(1)
    assert attempt is not None
    assert not call.abort(call.canceled_error())
    call.on_attempt_failed(attempt, make_rpc_error(code, "broken", phase=Phase.WAITING))
    (error,) = call.ends
    assert type(error) is RpcCanceledError
    assert connection.sent == 1


def test_call_with_a_timeout_of_zero_ends_at_once() -> None:
    connection = FakeConnection()
    call = start(connection, 0)
    assert isinstance(call.error, RpcTimeoutError)
    assert connection.sent == 0


def test_bad_response_fails_the_call_with_the_address_of_its_peer() -> None:
    connection = FakeConnection()
    call = start(connection, max_retry=0)
    attempt = connection.take_number(1)
    assert attempt is not None
    call.on_bad_response(attempt, "it is odd")
    assert isinstance(call.error, BadResponseError)
    assert (call.error.text, call.error.peer) == ("[E2002]it is odd", "10.0.0.1:8000")
