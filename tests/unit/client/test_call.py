"""Call against a connection that the test plays: who ends a call, and with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.client import call as call_module
from pybrpc.client.call import Call
from pybrpc.errors import (
    ConnectionFailedError,
    ErrorCode,
    OvercrowdedError,
    Phase,
    RpcCanceledError,
    RpcError,
    RpcTimeoutError,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcResponse
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import methods_of
from pybrpc.testing.step_dispatcher import FakeClock
from pybrpc.transport.write_request import Progress, WriteRequest
from tests.protos import conformance_pb2 as pb

ECHO = next(methods_of(pb.DESCRIPTOR.services_by_name["EchoService"]))
PEER = Endpoint("10.0.0.1", 8000)
OnSend = Callable[["PlayedConnection", Call], None]


class PlayedSocket:
    remote_side = PEER
    local_side = None
    is_connected = True


def written_request() -> WriteRequest:
    request = WriteRequest(IOBuf())
    request.progress = Progress.WRITTEN
    return request


class PlayedTimeouts:
    """In the place of TimeoutQueues and of its queue."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def of(self, timeout_s: float) -> PlayedTimeouts:
        return self

    def add(self, call: Call) -> None:
        self.calls.append(call)

    def discard(self, call: Call) -> None:
        if call in self.calls:
            self.calls.remove(call)


class PlayedConnection:
    """Numbers attempts; `on_send` says what happens inside each send, before it is pending."""

    def __init__(self, *on_send: OnSend) -> None:
        self.socket = PlayedSocket()
        self.timeouts = PlayedTimeouts()
        self.pending: dict[int, Call] = {}
        self.sent = 0
        self._on_send = on_send

    def get(self) -> PlayedConnection:
        return self

    def send(self, call: Call) -> None:
        self.sent += 1
        call.connection = self  # type: ignore[assignment]
        call.write_request = written_request()
        call.correlation_id = self.sent
        if self.sent <= len(self._on_send):
            self._on_send[self.sent - 1](self, call)
        self.pending[self.sent] = call

    def take(self, correlation_id: int) -> bool:
        return self.pending.pop(correlation_id, None) is not None

    def break_down(self, code: int = ErrorCode.EEOF) -> None:
        _, call = self.pending.popitem()
        call.on_connection_failed(make_rpc_error(code, "broken", phase=Phase.WAITING))


class PlayedCall(Call):
    __slots__ = ("ends",)

    def on_done(self) -> None:
        self.ends.append(self.error or self.response)  # type: ignore[has-type]


def start(
    connection: Any, timeout_s: float | None = 5, max_retry: int = 3, controller: Any = None
) -> PlayedCall:
    request = pb.EchoRequest(message="x")
    call = PlayedCall(connection, ECHO, request, timeout_s, max_retry, controller)
    call.ends = []
    call.start()
    return call


def raise_error(code: int) -> OnSend:
    def on_send(connection: PlayedConnection, call: Call) -> None:
        raise make_rpc_error(code, "refused", phase=Phase.WAITING)

    return on_send


def nothing(connection: PlayedConnection, call: Call) -> None:
    pass


def cancel(connection: PlayedConnection, call: Call) -> None:
    assert not call.abort(call.canceled_error())


def expire(connection: PlayedConnection, call: Call) -> None:
    call.expire()


def test_answer_ends_the_call() -> None:
    connection = PlayedConnection()
    call = start(connection)
    response = RpcResponse(1, body=pb.EchoResponse(message="y").SerializeToString())
    assert connection.take(1)
    call.on_response(response)
    assert call.ends == [response]
    assert call.message() == pb.EchoResponse(message="y")
    assert connection.timeouts.calls == []


@pytest.mark.parametrize(
    ("on_send", "kind"), [(cancel, RpcCanceledError), (expire, RpcTimeoutError)]
)
@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_abort_between_two_attempts_ends_the_call(
    on_send: OnSend, kind: type[RpcError], attempt: int
) -> None:
    """It comes while the attempt is not pending yet: nobody can take it out."""
    connection = PlayedConnection(*[nothing] * attempt, on_send)
    call = start(connection)
    for _ in range(attempt):
        connection.break_down()
    (end,) = call.ends
    assert type(end) is kind
    assert connection.pending == {}
    assert connection.timeouts.calls == []
    assert connection.sent == attempt + 1


@pytest.mark.parametrize("max_retry", [0, 1, 3])
def test_broken_connections_use_up_the_budget(max_retry: int) -> None:
    connection = PlayedConnection()
    controller = Controller()
    call = start(connection, max_retry=max_retry, controller=controller)
    for _ in range(max_retry + 1):
        assert call.ends == []
        connection.break_down()
    (end,) = call.ends
    assert isinstance(end, ConnectionFailedError)
    assert connection.sent == max_retry + 1
    marks = ["[E1014]broken", *[f"[R{i + 1}][E1014]broken" for i in range(max_retry)]]
    assert end.text == controller.error_text == " ".join(marks)
    assert str(end).startswith("EEOF: [E1014]broken")
    assert controller.retried_count == max_retry


def test_last_error_counts() -> None:
    connection = PlayedConnection()
    call = start(connection, max_retry=1)
    connection.break_down(ErrorCode.ECONNRESET)
    connection.break_down(ErrorCode.EPIPE)
    (end,) = call.ends
    assert end.code == ErrorCode.EPIPE
    assert end.text == "[E104]broken [R1][E32]broken"


def test_refused_send_is_retried_at_once() -> None:
    connection = PlayedConnection(raise_error(ErrorCode.EFAILEDSOCKET), nothing)
    call = start(connection)
    assert call.ends == []
    assert list(connection.pending) == [2]
    assert call.retried_count == 1


def test_overcrowded_send_is_not_retried() -> None:
    connection = PlayedConnection(raise_error(ErrorCode.EOVERCROWDED))
    call = start(connection)
    (end,) = call.ends
    assert isinstance(end, OvercrowdedError)
    assert (connection.sent, connection.pending, connection.timeouts.calls) == (1, {}, [])


def test_refused_sends_use_up_the_budget() -> None:
    connection = PlayedConnection(*[raise_error(ErrorCode.EFAILEDSOCKET)] * 9)
    call = start(connection)
    assert len(call.ends) == 1
    assert connection.sent == 4


def test_nothing_is_retried_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(1000.0)
    monkeypatch.setattr(call_module, "time", clock)
    connection = PlayedConnection()
    call = start(connection, timeout_s=5)
    clock.now_s = 1005.0
    connection.break_down()
    assert len(call.ends) == 1
    assert connection.sent == 1


def test_wire_timeout_of_a_retry_is_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(1000.0)
    monkeypatch.setattr(call_module, "time", clock)
    connection = PlayedConnection()
    call = start(connection, timeout_s=5)
    assert call.wire_timeout_ms() == 5000
    clock.now_s = 1003.0
    connection.break_down()
    assert call.wire_timeout_ms() == 2000
    clock.now_s = 1004.9999
    assert call.wire_timeout_ms() == 1


def test_abort_after_the_end_changes_nothing() -> None:
    connection = PlayedConnection()
    call = start(connection)
    connection.take(1)
    call.on_response(RpcResponse(1))
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
    connection = PlayedConnection()
    call = start(connection, max_retry=0)
    connection.socket.is_connected = is_connected
    call.write_request.progress = progress  # type: ignore[union-attr]
    if end == "expire":
        call.expire()
    else:
        connection.break_down()
    (error,) = call.ends
    assert (error.phase, error.peer) == (phase, "10.0.0.1:8000")


def test_phase_of_a_send_on_a_connection_that_had_failed_already() -> None:
    """Not that in which the connection failed: of this call nothing had left."""

    def refuse(connection: PlayedConnection, call: Call) -> None:
        call.write_request.progress = Progress.QUEUED  # type: ignore[union-attr]
        raise make_rpc_error(ErrorCode.EEOF, "refused", phase=Phase.WAITING)

    call = start(PlayedConnection(refuse), max_retry=0)
    (error,) = call.ends
    assert error.phase is Phase.QUEUED


def test_repr() -> None:
    connection = PlayedConnection()
    call = start(connection)
    assert repr(call) == "<PlayedCall conformance.EchoService.Echo in flight>"
    call.expire()
    assert repr(call) == "<PlayedCall conformance.EchoService.Echo failed>"
