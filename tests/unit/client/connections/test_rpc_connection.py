"""RpcConnection: how answers find their calls, and what ends a connection, over a real socket."""

from __future__ import annotations

import socket as _socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.connections.connection import ConnectionOwner
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.errors import (
    BadResponseError,
    ErrorCode,
    ProtocolError,
    RpcError,
)
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.baidu_std.frame import pack_header
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.checksum import ChecksumType
from pybrpc.rpc.compress import CompressType
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.message_cutter import MessageCutter
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
    why_down = live = None

    def __init__(self, options: SocketOptions | None = None) -> None:
        ours, self.peer = _socket.socketpair()
        self.peer.setblocking(False)
        self.dispatcher = StepDispatcher()
        self.timeouts = TimeoutQueues(self.dispatcher)
        self.owner = Owner()
        cutter = MessageCutter(LIMITS, protocol=PROTOCOL)
        socket = Socket.of(ours, self.dispatcher, cutter=cutter, options=options)
        self.connection = RpcConnection(socket, self.timeouts, PROTOCOL, self.owner)
        socket.set_user(self.connection)
        self.dispatcher.post(socket.begin_use)
        self.step()
        self._buffer = IOBuf()

    def get(self, call: object) -> RpcConnection:
        self.connection.socket.raise_if_failed()
        return self.connection

    def reclaim(self, call: object) -> None:
        pass

    def step(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []

    def call(self, controller: Controller | None = None) -> FakeCall:
        return start(self, None, controller, max_retry=0)

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
    line.call(controller)
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


def test_oversized_response_closes_the_connection(line: Line) -> None:
    calls = [line.call() for _ in range(2)]
    number = line.request().correlation_id
    frame = bytes(PROTOCOL.pack_response(RpcResponse(number, body=bytes(2000))))
    line.says(frame)
    assert isinstance(error_of(calls[0]), BadResponseError)
    assert line.connection.socket.is_failed
    assert "Close " in error_of(calls[1]).text


def test_bad_response_fails_its_call_alone(line: Line) -> None:
    calls = [line.call() for _ in range(2)]
    number = line.request().correlation_id
    frame = bytes(PROTOCOL.pack_response(RpcResponse(number, body=b"body")))
    meta = frame[12:-4] + b"\x28\x64"  # an attachment of 100 bytes, which are not there
    line.says(pack_header(len(meta) + 4, len(meta)) + meta + b"body")
    assert isinstance(error_of(calls[0]), BadResponseError)
    assert not calls[1].ends
    assert line.connection.is_usable()
