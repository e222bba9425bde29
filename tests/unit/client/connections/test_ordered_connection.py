"""OrderedConnection: responses without ids find their calls by the order of what was written."""

from __future__ import annotations

import socket as _socket
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.client.calls.attempt import Attempt
from pybrpc.client.calls.attempt_end import CanceledBy
from pybrpc.client.connections.authentication import Authentication
from pybrpc.client.connections.ordered_connection import OrderedConnection
from pybrpc.errors import ErrorCode, Phase
from pybrpc.iobuf import IOBuf
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.protocols.session import Side
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from pybrpc.transport.writing.write_request import Progress
from tests.fakes.client_socket import PEER
from tests.fakes.connections import FakeCall, start
from tests.peers.line_protocols import PLAIN_LINES

LIMITS = ParseLimits()


class Secret:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def generate_credential(self) -> bytes:
        if self.error is not None:
            raise self.error
        return b"secret"

    def verify_credential(self, credential: bytes, client: Any) -> None:
        raise NotImplementedError


class Line:
    """A connection that is its own source, and the peer's end of it."""

    endpoint = PEER
    why_down = direct = live = pool = call_times = None
    gives_own_connections = False

    def __init__(self, auth: Secret | None = None) -> None:
        ours, self.peer = _socket.socketpair()
        self.peer.setblocking(False)
        self.dispatcher = StepDispatcher()
        self.timeouts = TimeoutQueues(self.dispatcher)
        session = PLAIN_LINES.new_session(Side.CLIENT, LIMITS)
        self.socket = Socket.of(ours, self.dispatcher, session=session)
        authentication = None if auth is None else Authentication(auth)
        self.connection = OrderedConnection(
            self.socket, self.timeouts, PLAIN_LINES, None, authentication
        )
        self.socket.set_user(self.connection)
        self.dispatcher.post(self.socket.begin_use)
        self.step()
        self._buffer = IOBuf()

    def get(self, call: object) -> OrderedConnection:
        self.socket.raise_if_failed()
        return self.connection

    def reclaim(self, call: object) -> None:
        pass

    def step(self) -> None:
        self.dispatcher.run_until_idle()
        assert self.dispatcher.raised == []

    def pending(self) -> list[Attempt]:
        """The attempts that wait for a response."""
        return list(self.connection._pending.values())

    def call(self) -> FakeCall:
        return start(self, None, None, FakeCall, max_retry=0)

    def requests(self) -> int:
        """How many have come."""
        self.step()
        try:
            self._buffer.append(self.peer.recv(1 << 20))
        except BlockingIOError:
            return 0
        count = 0
        while isinstance(PLAIN_LINES.parse(self._buffer, LIMITS), RpcRequest):
            count += 1
            if not self._buffer:
                break
        return count

    def says(self, *bodies: bytes) -> None:
        for body in bodies:
            self.peer.sendall(bytes(PLAIN_LINES.pack_response(RpcResponse(0, body=body))))
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


def body_of(call: FakeCall) -> bytes:
    (response,) = call.ends
    return bytes(response.body)


def test_responses_complete_their_calls_in_order(line: Line) -> None:
    calls = [line.call() for _ in range(3)]
    assert line.requests() == 3
    line.says(b"1", b"2")
    assert [body_of(call) for call in calls[:2]] == [b"1", b"2"]
    assert not calls[2].ends
    line.says(b"3")
    assert body_of(calls[2]) == b"3"
    assert line.connection.in_flight == 0


def test_response_to_a_call_that_has_ended_is_dropped(line: Line) -> None:
    first, second = line.call(), line.call()
    assert line.requests() == 2
    assert line.pending()[0].try_cancel(CanceledBy.CALLER)
    line.says(b"1", b"2")
    assert not first.ends
    assert body_of(second) == b"2"
    assert line.connection.statistics().late_answers == 1


def test_request_counts_as_sent_once_it_is_turned_into_bytes(line: Line) -> None:
    line.call()
    (attempt,) = line.pending()
    assert attempt.write_request is not None
    assert attempt.phase is Phase.WAITING
    attempt.write_request.progress = Progress.SET_UP
    assert attempt.phase is Phase.SENT


def test_request_whose_call_has_ended_leaves_no_bytes_and_no_place(line: Line) -> None:
    line.socket._writer.hold()
    first, second = line.call(), line.call()
    attempt = line.pending()[0]
    assert attempt.phase is Phase.QUEUED
    assert line.connection.take(attempt)
    line.socket._writer.keep_write(line.socket)
    assert line.requests() == 1
    line.says(b"2")
    assert not first.ends
    assert body_of(second) == b"2"


def test_response_that_no_request_awaits_fails_the_connection(line: Line) -> None:
    call = line.call()
    line.says(b"1", b"2")
    assert body_of(call) == b"1"
    assert line.socket.error is not None
    assert "no request awaits" in line.socket.error.text


def test_first_request_goes_with_the_credential_and_has_its_place() -> None:
    line = Line(Secret())
    calls = [line.call() for _ in range(3)]
    assert line.requests() == 3
    line.says(b"1", b"2", b"3")
    assert [body_of(call) for call in calls] == [b"1", b"2", b"3"]
    line.close()


def test_credential_that_can_not_be_made_fails_the_calls() -> None:
    line = Line(Secret(ValueError("no secret")))
    calls = [line.call() for _ in range(3)]
    line.step()
    assert [call.error.code for call in calls] == [ErrorCode.ERPCAUTH] * 3  # type: ignore[union-attr]
    line.close()


def test_place_that_is_taken_without_bytes_fails_the_connection(line: Line) -> None:
    """The writer was interrupted: the next responses would go to the wrong calls."""

    def note_sent(correlation_id: int) -> None:
        raise RuntimeError("the test says so")

    line.socket.session.note_sent = note_sent  # type: ignore[method-assign]
    calls = [line.call(), line.call()]
    line.step()
    assert line.socket.is_failed
    assert all(call.error is not None for call in calls)
