"""HuluConnection: what its requests say of their methods, and how a server of C++ refuses one."""

from __future__ import annotations

import socket as _socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.hulu_connection import HuluConnection
from pybrpc.errors import ErrorCode
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.hulu import HULU_PBRPC
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.fakes.client_socket import PEER
from tests.fakes.connections import FakeCall, start

LIMITS = ParseLimits()


class Secret:
    def generate_credential(self) -> bytes:
        return b"secret"

    def verify_credential(self, credential: bytes, client: Any) -> None:
        raise NotImplementedError


class Line:
    """A connection that is its own source, and the peer's end of it."""

    endpoint = PEER
    why_down = direct = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self) -> None:
        ours, self.peer = _socket.socketpair()
        self.dispatcher = StepDispatcher()
        self.timeouts = TimeoutQueues(self.dispatcher)
        socket = Socket.of(
            ours, self.dispatcher, session=MessageCutter(LIMITS, protocol=HULU_PBRPC)
        )
        authentication = Authentication(Secret())
        self.connection = HuluConnection(
            socket, self.timeouts, HULU_PBRPC, None, authentication=authentication
        )
        socket.set_user(self.connection)
        self.dispatcher.post(socket.begin_use)
        self.step()
        self._buffer = IOBuf()

    def get(self, call: object) -> HuluConnection:
        self.connection.socket.raise_if_failed()
        return self.connection

    def reclaim(self, call: object) -> None:
        pass

    def step(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []

    def call(self, controller: Controller | None = None) -> FakeCall:
        return start(self, None, controller, FakeCall, max_retry=0)

    def request(self) -> RpcRequest:
        """The next one that was written."""
        self.step()
        while not isinstance(request := HULU_PBRPC.parse(self._buffer, LIMITS), RpcRequest):
            self._buffer.append(self.peer.recv(1 << 20))
        return request

    def says(self, message: RpcResponse | RpcRequest) -> None:
        pack: Any = HULU_PBRPC.pack_request if message.is_request else HULU_PBRPC.pack_response
        self.peer.sendall(bytes(pack(message)))
        self.step()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.connection.close()
    made.step()
    made.peer.close()


def test_requests_name_their_method_by_its_index(line: Line) -> None:
    for controller in (None, None, Controller(log_id=7)):
        line.call(controller)
    sent = [line.request() for _ in range(3)]
    assert [(each.service, each.method, each.method_index) for each in sent] == [
        ("EchoService", "", 0)
    ] * 3
    assert [each.credential for each in sent] == [b"secret", None, None]
    assert [each.log_id for each in sent] == [None, None, 7]


def test_responses_complete_their_calls_in_any_order(line: Line) -> None:
    calls = [line.call() for _ in range(3)]
    requests = [line.request() for _ in calls]
    for request in reversed(requests):
        line.says(RpcResponse(request.correlation_id, body=b"%d" % request.correlation_id))
    for call, request in zip(calls, requests, strict=True):
        (response,) = call.ends
        assert bytes(response.body) == b"%d" % request.correlation_id


def test_a_request_as_the_first_answer_is_a_refusal_of_the_credential(line: Line) -> None:
    first, second = line.call(), line.call()
    asked = line.request()
    line.says(asked)
    assert first.error is not None
    assert (first.error.code, first.error.is_remote) == (ErrorCode.ERPCAUTH, True)
    assert not line.connection.is_usable()
    line.peer.shutdown(_socket.SHUT_RDWR)
    line.step()
    assert second.error is not None
    assert second.error.code == ErrorCode.ERPCAUTH


def test_a_request_after_an_answer_closes_the_connection(line: Line) -> None:
    line.call()
    line.says(RpcResponse(line.request().correlation_id))
    call = line.call()
    line.says(line.request())
    assert line.connection.socket.is_failed
    assert call.error is not None
    assert "sent a request to a client" in call.error.text


def test_a_request_that_answers_no_call_closes_the_connection(line: Line) -> None:
    call = line.call()
    line.request()
    line.says(RpcRequest(1 << 40, "EchoService", "", method_index=0))
    assert line.connection.socket.is_failed
    assert call.error is not None
    assert call.error.code == ErrorCode.EINVAL
