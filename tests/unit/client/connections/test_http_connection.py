"""HttpConnection: which requests leave, and whose a response is; turn by turn."""

from __future__ import annotations

import socket as _socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.connections.http_connection import HttpConnection
from pybrpc.client.connections.http_method import HttpMethod
from pybrpc.errors import BadResponseError, ConnectionFailedError, ErrorCode, Phase
from pybrpc.protocols.http1.client_session import HttpClientSession
from pybrpc.protocols.http1.http_protocol import HTTP
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Side
from pybrpc.rpc.http_bodies import HttpContentType
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.backlog import Backlog
from pybrpc.transport.writing.write_request import Progress
from tests.fakes.client_socket import PEER
from tests.fakes.connections import ECHO, FakeCall, start

OK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    b'{"message":"x"}'
)


class Line:
    """A connection that is its own source, and the peer's end of it."""

    endpoint = PEER
    why_down = direct = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self) -> None:
        ours, self.peer = _socket.socketpair()
        self.peer.setblocking(False)
        self.dispatcher = StepDispatcher()
        self.timeouts = TimeoutQueues(self.dispatcher)
        session = HTTP.new_session(Side.CLIENT, ParseLimits())
        self.socket = Socket.of(ours, self.dispatcher, session=session)
        self.connection = HttpConnection(self.socket, self.timeouts, "h", Backlog(1000))
        self.socket.set_user(self.connection)
        self.dispatcher.post(self.socket.begin_use)
        self.step()

    def get(self, call: object) -> HttpConnection:
        self.socket.raise_if_failed()
        return self.connection

    def reclaim(self, call: object) -> None: ...

    def step(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []

    def call(self) -> FakeCall:
        method = HttpMethod.of(ECHO, HttpContentType.JSON)
        return start(self, None, None, FakeCall, method, max_retry=0)

    @property
    def attempt(self) -> Attempt:
        """The attempt that waits for a response."""
        (attempt,) = self.connection._pending
        return attempt

    def answer(self, data: bytes) -> None:
        self.peer.sendall(data)
        self.step()

    def received(self) -> bytes:
        try:
            return self.peer.recv(65536)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.socket.close()
        self.step()
        self.peer.close()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


def test_response_ends_the_call(line: Line) -> None:
    call = line.call()
    line.step()
    assert line.received().startswith(b"POST /conformance.EchoService/Echo HTTP/1.1\r\n")
    line.answer(OK)
    assert call.message().message == "x"
    assert line.connection.in_flight == 0
    assert not line.connection.is_retired


def test_request_whose_call_has_ended_leaves_no_bytes_and_no_place(line: Line) -> None:
    line.socket._writer.hold()
    first = line.call()
    assert line.attempt.phase is Phase.QUEUED
    assert line.connection.take(line.attempt)
    second = line.call()
    line.socket._writer.keep_write(line.socket)
    line.step()
    assert line.received().count(b"POST ") == 1
    line.answer(OK)
    assert not first.ends
    assert second.message().message == "x"


def test_response_to_a_call_that_has_ended_is_dropped(line: Line) -> None:
    call = line.call()
    assert line.attempt.try_cancel(CanceledBy.CALLER)
    line.answer(OK)
    assert not call.ends
    statistics = line.connection.statistics()
    assert (statistics.late_answers, statistics.in_flight) == (1, 0)


def test_request_counts_as_sent_once_it_is_turned_into_bytes(line: Line) -> None:
    line.call()
    attempt = line.attempt
    assert attempt.write_request is not None
    assert attempt.phase is Phase.WAITING
    attempt.write_request.progress = Progress.SET_UP
    assert attempt.phase is Phase.SENT


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        (b"", ConnectionFailedError, ErrorCode.EEOF),
        (b"H", BadResponseError, ErrorCode.ERESPONSE),
        (b"HTTP/1.1 100 Continue\r\n\r\n", BadResponseError, ErrorCode.ERESPONSE),
        (OK[:-1], BadResponseError, ErrorCode.ERESPONSE),
    ],
)
def test_end_of_the_connection_is_told_apart_by_what_has_come(
    line: Line, said: bytes, kind: type[Exception], code: int
) -> None:
    call = line.call()
    line.answer(said)
    line.peer.shutdown(_socket.SHUT_WR)
    line.step()
    assert isinstance(call.error, kind)
    assert call.error.code == code  # type: ignore[attr-defined]


def test_end_between_responses_is_no_end_inside_one(line: Line) -> None:
    line.call()
    line.answer(OK)
    line.call()
    line.peer.shutdown(_socket.SHUT_WR)
    line.step()
    assert line.socket.error is not None
    assert line.socket.error.code == ErrorCode.EEOF


def test_response_that_closes_retires_the_connection(line: Line) -> None:
    call = line.call()
    line.answer(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
    assert call.message().message == "x"
    assert line.socket.is_failed


@pytest.mark.python_only
def test_place_that_is_taken_without_bytes_fails_the_connection(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer was interrupted: the next response would go to the wrong call."""

    def expect(session: Any, method: str, is_progressive: bool) -> None:
        raise RuntimeError("the test says so")

    monkeypatch.setattr(HttpClientSession, "expect", expect)
    call = line.call()
    line.step()
    assert line.socket.is_failed
    assert call.error is not None


@pytest.mark.python_only
def test_response_that_can_not_be_handled_ends_its_call(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = line.call()

    def on_whole(connection: Any, outgoing: Any, attempt: Any, response: Any) -> None:
        raise RuntimeError("the test says so")

    monkeypatch.setattr(HttpConnection, "_on_whole", on_whole)
    line.peer.sendall(OK)
    line.dispatcher.run_until_idle()
    assert [type(error) for error in line.dispatcher.raised] == [RuntimeError]
    line.dispatcher.raised.clear()
    assert isinstance(call.error, BadResponseError)
    assert line.socket.is_failed
