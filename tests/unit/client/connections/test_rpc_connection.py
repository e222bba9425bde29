"""RpcConnection: how answers find their calls, and what ends a connection, over a real socket."""

from __future__ import annotations

import socket as _socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.calls.attempt import new_attempt
from pybrpc.client.connections.connection import ConnectionOwner
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    Phase,
    ProtocolError,
    RpcError,
    make_rpc_error,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.baidu_std.frame import pack_header
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.bounded_steps import MAX_PER_STEP
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.socket_options import SocketOptions
from tests.fakes.client_socket import PEER
from tests.fakes.connections import FakeCall, start

LIMITS = ParseLimits(max_body_size=1000)
PROTOCOL = BaiduStd()


class Owner(ConnectionOwner):
    """Notes what it hears."""

    wants_idle_events = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_connected(self, connection: Any) -> None:
        self.heard.append("connected")

    def on_idle(self, connection: Any, is_clean: bool) -> None:
        self.heard.append("free and clean" if is_clean else "free")

    def on_failed(self, connection: Any, error: RpcError) -> None:
        self.heard.append("failed")


class Line:
    """A connection that is its own source, and the peer's end of it."""

    endpoint = PEER
    why_down = direct = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self, options: SocketOptions | None = None, max_skipped_bytes: int = 0) -> None:
        ours, self.peer = _socket.socketpair()
        self.peer.setblocking(False)
        self.dispatcher = StepDispatcher()
        self.timeouts = TimeoutQueues(self.dispatcher)
        self.owner = Owner()
        cutter = MessageCutter(LIMITS, protocol=PROTOCOL, max_skipped_bytes=max_skipped_bytes)
        socket = Socket.of(ours, self.dispatcher, session=cutter, options=options)
        self.connection = RpcConnection(socket, self.timeouts, PROTOCOL, self.owner)
        socket.set_user(self.connection)
        self.dispatcher.post(socket.begin_use)
        self.step()
        self._buffer = IOBuf()

    def get(self, call: object) -> RpcConnection:
        self.connection.socket.raise_if_failed()
        self.connection.begin_use()
        return self.connection

    def reclaim(self, call: object) -> None:
        pass

    def step(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []

    def call(
        self, kind: type[FakeCall] = FakeCall, controller: Controller | None = None
    ) -> FakeCall:
        return start(self, None, controller, kind, max_retry=0)

    def request(self) -> RpcRequest:
        """The next one that was written."""
        self.step()
        while not isinstance(request := PROTOCOL.parse(self._buffer, LIMITS), RpcRequest):
            self._buffer.append(self.peer.recv(1 << 20))
        return request

    def says(self, message: RpcResponse | RpcRequest | bytes) -> None:
        if isinstance(message, RpcResponse):
            message = bytes(PROTOCOL.pack_response(message))
        elif isinstance(message, RpcRequest):
            message = bytes(PROTOCOL.pack_request(message))
        self.peer.sendall(message)
        self.step()

    def close(self) -> None:
        self.connection.close()
        self.step()
        self.peer.close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def error_of(call: FakeCall) -> RpcError:
    assert call.error is not None
    assert len(call.ends) == 1
    return call.error


def test_responses_complete_their_calls_in_any_order(line: Line) -> None:
    calls = [line.call() for _ in range(3)]
    requests = [line.request() for _ in calls]
    assert line.connection.in_flight == 3
    for request in reversed(requests):
        line.says(RpcResponse(request.correlation_id, body=str(request.correlation_id).encode()))
    for call, request in zip(calls, requests, strict=True):
        (response,) = call.ends
        assert bytes(response.body) == str(request.correlation_id).encode()
    assert line.owner.heard == ["connected", "free and clean"]
    assert repr(line.connection).startswith("<RpcConnection 0 calls in flight on <Socket")


def test_request_carries_the_fields_of_the_controller(line: Line) -> None:
    controller = Controller()
    controller.log_id, controller.request_id = 7, "an id"
    controller.request_attachment.append(b"attached")
    controller.request_user_fields["key"] = "value"
    controller.request_compress_type = CompressType.GZIP
    controller.request_checksum_type = ChecksumType.CRC32C
    controller.request_checksum_attachment = True
    line.call(controller=controller)
    request = line.request()
    assert (request.log_id, request.request_id) == (7, "an id")
    assert request.attachment is not None
    assert bytes(request.attachment) == b"attached"
    assert request.user_fields == {"key": "value"}
    assert (request.compress_type, request.checksum_type) == (
        CompressType.GZIP,
        ChecksumType.CRC32C,
    )
    assert request.checksum_value
    assert request.checksum_with_attachment is True


@pytest.mark.parametrize("log_id", [0, 7, 2**63 - 1, 2**63, 2**64 - 1, -1])
def test_log_id_is_sent_as_64_bits_without_a_sign(line: Line, log_id: int) -> None:
    line.call(controller=Controller(log_id=log_id))
    sent = line.request().log_id
    assert sent is not None
    assert sent % 2**64 == log_id % 2**64


@pytest.mark.parametrize("log_id", [2**64, -(2**63) - 1, "seven"])
def test_log_id_that_does_not_fit_is_refused(line: Line, log_id: Any) -> None:
    controller = Controller()
    controller._log_id = log_id  # its setter refuses it too
    assert error_of(line.call(controller=controller)).code == ErrorCode.EREQUEST
    assert line.connection.is_usable()


def test_late_and_unknown_responses_are_counted_and_dropped(line: Line) -> None:
    call = line.call()
    request = line.request()
    call.expire()
    assert line.owner.heard[-1] == "free"
    line.says(RpcResponse(request.correlation_id))
    line.says(RpcResponse(request.correlation_id + 1_000_000))
    line.says(RpcResponse(0))
    found = line.connection.statistics()
    assert (found.in_flight, found.late_answers, found.unknown_answers) == (0, 1, 2)
    assert found.socket.messages_read == 3
    assert not line.connection.socket.is_failed


def test_error_response_fails_its_call_and_the_connection_stays(line: Line) -> None:
    call = line.call()
    line.says(RpcResponse(line.request().correlation_id, ErrorCode.EINTERNAL, "no"))
    error = error_of(call)
    assert (error.code, error.is_remote) == (ErrorCode.EINTERNAL, True)
    assert error.text.endswith("no")
    assert error.peer == str(line.connection.socket.remote_side)
    assert line.connection.is_usable()
    assert line.owner.heard[-1] == "free and clean"


def test_caller_gets_the_user_fields_of_a_failed_response_and_nothing_else(line: Line) -> None:
    """bRPC: ProcessRpcResponse, baidu_rpc_protocol.cpp."""
    controller = Controller()
    line.call(controller=controller)
    line.says(
        RpcResponse(
            line.request().correlation_id,
            ErrorCode.EINTERNAL,
            "no",
            attachment=IOBuf(b"attached"),
            user_fields={"key": "value"},
            compress_type=CompressType.GZIP,
            checksum_type=ChecksumType.CRC32C,
            checksum_value=b"1234",
        )
    )
    assert controller.error_code == ErrorCode.EINTERNAL
    assert controller.response_user_fields == {"key": "value"}
    assert len(controller.response_attachment) == 0
    fresh = Controller()
    assert controller.response_compress_type == fresh.response_compress_type
    assert controller.response_checksum_type == fresh.response_checksum_type


def test_connection_to_a_stopping_server_takes_no_calls_and_closes_after_the_last(
    line: Line,
) -> None:
    refused, running = line.call(), line.call()
    first, second = line.request(), line.request()
    line.says(RpcResponse(first.correlation_id, ErrorCode.ELOGOFF, "stopping"))
    assert error_of(refused).code == ErrorCode.ELOGOFF
    assert (line.connection.is_usable(), line.connection.socket.is_failed) == (False, False)
    assert ", retired" in repr(line.connection)
    line.says(RpcResponse(second.correlation_id))
    assert running.error is None
    assert line.connection.socket.is_failed
    assert line.connection.socket.error.code == ErrorCode.EFAILEDSOCKET  # type: ignore[union-attr]


class Stream:
    """A user of a connection that is no attempt."""

    def on_connection_failed(self, connection: object, error: RpcError) -> None:
        """It is of no interest here."""


def test_connection_that_somebody_holds_is_neither_idle_nor_closed_after_its_last_call(
    line: Line,
) -> None:
    stream = Stream()
    line.connection.hold(stream)
    line.call()
    line.says(RpcResponse(line.request().correlation_id))
    assert line.connection.in_flight == 0
    assert line.owner.heard == ["connected"]
    line.connection.retire()
    line.step()
    assert line.connection.socket.error is None
    line.connection.release_hold(stream)
    line.step()
    assert line.connection.socket.error is not None
    assert "retired" in line.connection.socket.error.text


def test_broken_connection_notifies_its_owner_and_then_all_calls(line: Line) -> None:
    calls = [line.call() for _ in range(3)]
    line.step()
    line.peer.shutdown(_socket.SHUT_WR)
    line.step()
    assert [error_of(call).code for call in calls] == [ErrorCode.EEOF] * 3
    assert line.owner.heard == ["connected", "failed"]
    assert line.connection.in_flight == 0


def test_attempt_that_the_socket_refuses_is_not_in_flight(line: Line) -> None:
    line.connection.socket.close()
    line.get = lambda call: line.connection  # type: ignore[method-assign]
    call = line.call()
    assert error_of(call).code == ErrorCode.ECLOSE
    assert line.connection.in_flight == 0


@pytest.mark.parametrize("is_known", [True, False])
def test_connection_is_closed_if_the_server_sends_a_request(line: Line, is_known: bool) -> None:
    calls = [line.call() for _ in range(2)]
    number = line.request().correlation_id if is_known else 0
    line.says(RpcRequest(number, "a.Service", "Method", b""))
    assert line.connection.socket.is_failed
    for call in calls:
        error = error_of(call)
        assert isinstance(error, ProtocolError)
        assert error.text.endswith("sent a request to a client")


def oversized(number: int, size: int = 2000) -> bytes:
    return bytes(PROTOCOL.pack_response(RpcResponse(number, body=bytes(size))))


def test_response_that_is_too_long_to_be_skipped_closes_the_connection(line: Line) -> None:
    """The error of the other call is one after which it is sent again."""
    calls = [line.call() for _ in range(2)]
    line.says(oversized(line.request().correlation_id))
    assert isinstance(error_of(calls[0]), BadResponseError)
    assert line.connection.socket.is_failed
    assert error_of(calls[1]).code == ErrorCode.EFAILEDSOCKET
    assert "closed by this side: body_size=" in error_of(calls[1]).text


def test_late_response_that_is_too_long_closes_the_connection_as_well(line: Line) -> None:
    late, other = line.call(), line.call()
    number = line.request().correlation_id
    late.expire()
    line.says(oversized(number))
    assert error_of(other).code == ErrorCode.EFAILEDSOCKET


@pytest.mark.parametrize("pieces", [1, 2, 50])
@pytest.mark.parametrize("is_late", [False, True])
def test_oversized_response_is_skipped_and_fails_its_call_alone(pieces: int, is_late: bool) -> None:
    line = Line(max_skipped_bytes=10_000)
    calls = [line.call() for _ in range(2)]
    first, second = line.request(), line.request()
    if is_late:
        calls[0].expire()
    answers = oversized(first.correlation_id) + bytes(
        PROTOCOL.pack_response(RpcResponse(second.correlation_id, body=b"well"))
    )
    size = -(-len(answers) // pieces)
    for start_ in range(0, len(answers), size):
        line.says(answers[start_ : start_ + size])
    expected = ErrorCode.ERPCTIMEDOUT if is_late else ErrorCode.ERESPONSE
    assert error_of(calls[0]).code == expected
    (response,) = calls[1].ends
    assert bytes(response.body) == b"well"
    assert line.connection.is_usable()
    assert line.connection.statistics().late_answers == is_late
    line.close()


class Struck(FakeCall):
    """A call whose response can't be handled."""

    __slots__ = ()

    def on_response(self, attempt: Any, response: Any) -> None:
        raise MemoryError("no room")


def test_exception_while_one_response_is_handled_loses_no_other(line: Line) -> None:
    calls = [line.call(), line.call(Struck), line.call(), line.call(Struck), line.call()]
    requests = [line.request() for _ in calls]
    frames = [PROTOCOL.pack_response(RpcResponse(r.correlation_id)) for r in requests]
    line.peer.sendall(b"".join(map(bytes, frames)))
    line.dispatcher.run_until_idle()
    assert [len(call.ends) for call in calls] == [1] * 5
    for struck in (calls[1], calls[3]):
        assert isinstance(struck.error, BadResponseError)
        assert isinstance(struck.error.__cause__, MemoryError)
    assert [call.error for call in calls[::2]] == [None] * 3
    assert line.connection.in_flight == 0
    assert [type(error) for error in line.dispatcher.raised] == [MemoryError]
    line.dispatcher.raised.clear()


class StruckAtTheEnd(FakeCall):
    """A call for which the end of its connection can't be handled."""

    __slots__ = ()

    def on_attempt_failed(self, attempt: Any, error: RpcError) -> None:
        raise MemoryError("no room")


def test_exception_while_one_attempt_of_a_broken_connection_ends_loses_no_call(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    calls = [line.call(), line.call(StruckAtTheEnd), line.call()]
    line.step()
    line.connection.socket.fail(make_rpc_error(ErrorCode.EEOF, "broken", phase=Phase.WAITING))
    line.dispatcher.run_until_idle()
    assert [len(call.ends) for call in calls] == [1] * 3
    assert calls[1].error is not None
    assert isinstance(calls[1].error.__cause__, MemoryError)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [MemoryError]
    line.dispatcher.raised.clear()  # if the attempts took more than one step


def test_attempts_of_a_broken_connection_end_in_bounded_steps(line: Line) -> None:
    """In between, a deadline still finds its call."""
    calls = [line.call() for _ in range(10 * MAX_PER_STEP)]
    line.step()
    line.connection.socket.fail(make_rpc_error(ErrorCode.EEOF, "broken", phase=Phase.WAITING))
    ended = sum(bool(call.ends) for call in calls)
    while line.connection.in_flight:
        before = ended
        last = next(call for call in reversed(calls) if not call.ends)
        assert last.expire()
        assert last.error is not None
        assert last.error.code == ErrorCode.ERPCTIMEDOUT
        assert line.dispatcher.step()
        ended = sum(bool(call.ends) for call in calls)
        assert ended - before <= MAX_PER_STEP + 1
    assert [len(call.ends) for call in calls] == [1] * len(calls)


def test_attempt_that_is_sent_while_others_of_the_broken_connection_end_is_refused(
    line: Line,
) -> None:
    calls = [line.call() for _ in range(3 * MAX_PER_STEP)]
    line.step()
    line.connection.socket.fail(make_rpc_error(ErrorCode.EEOF, "broken", phase=Phase.WAITING))
    line.dispatcher.step()
    assert line.connection.in_flight
    late = new_attempt(calls[0], line.connection)
    calls[0].body = b""
    with pytest.raises(RpcError, match="broken"):
        line.connection.send(late)
    assert not late.try_claim()
    line.step()
    assert [len(call.ends) for call in calls] == [1] * len(calls)


def test_erpcauth_of_a_server_that_closes_is_the_error_of_all_calls(line: Line) -> None:
    calls = [line.call() for _ in range(3)]
    line.says(RpcResponse(line.request().correlation_id, ErrorCode.ERPCAUTH, "who are you"))
    assert line.connection.is_usable()
    line.peer.close()
    line.step()
    assert [error_of(call).code for call in calls] == [ErrorCode.ERPCAUTH] * 3


def test_erpcauth_of_a_handler_says_nothing_about_a_later_failure(line: Line) -> None:
    calls = [line.call() for _ in range(3)]
    line.says(RpcResponse(line.request().correlation_id, ErrorCode.ERPCAUTH, "you may not"))
    line.says(RpcResponse(line.request().correlation_id))
    line.peer.close()
    line.step()
    assert error_of(calls[2]).code == ErrorCode.EEOF


def test_bad_response_fails_its_call_alone(line: Line) -> None:
    calls = [line.call() for _ in range(2)]
    number = line.request().correlation_id
    frame = bytes(PROTOCOL.pack_response(RpcResponse(number, body=b"body")))
    meta = frame[12:-4] + b"\x28\x64"  # an attachment of 100 bytes, which are not there
    line.says(pack_header(len(meta) + 4, len(meta)) + meta + b"body")
    assert isinstance(error_of(calls[0]), BadResponseError)
    assert not calls[1].ends
    assert line.connection.is_usable()
