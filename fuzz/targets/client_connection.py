"""A whole client connection with three calls in flight: each completes once, with the response that
the bytes hold for it or with a typed error."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from fuzz import vectors
from fuzz.fuzz_target import FuzzTarget
from fuzz.parameters import WHOLE, Parameters, pieces_of
from fuzz.references.frames import Fields, fields_of_message, frames_of, header, without_streams
from fuzz.wire import Wire, nothing_raised
from pybrpc.base.endpoint import Endpoint
from pybrpc.client.calls.call import Call
from pybrpc.client.calls.call_options import CallOptions
from pybrpc.client.calls.interfaces import BackedUpCall, WaitingCall
from pybrpc.client.connections import rpc_connection
from pybrpc.client.connections.rpc_connection import RpcConnection
from pybrpc.errors import BadResponseError, RpcError, make_rpc_error
from pybrpc.protocols.baidu_std import BaiduStd
from pybrpc.protocols.baidu_std.meta_encoder import encode_request_meta, encode_response_meta
from pybrpc.protocols.message import RpcRequest, RpcResponse
from pybrpc.protocols.message_cutter import MessageCutter
from pybrpc.protocols.protocol import ParseLimits
from pybrpc.rpc.controller import Controller
from pybrpc.rpc.method import methods_of
from pybrpc.rpc.timeout_queue import TimeoutQueues
from pybrpc.testing.step_dispatcher import StepDispatcher
from pybrpc.transport.socket.socket import Socket
from tests.protos import conformance_pb2 as pb

CALLS = 3
LIMITS = (100_000, 600, 64)
ECHO = next(methods_of(pb.DESCRIPTOR.services_by_name["EchoService"]))
PROTOCOL = BaiduStd()


class OneConnection:
    """The source of calls over one connection, and over no other after that."""

    endpoint = Endpoint("unix:", 0)
    name = "unix:"
    why_down: None = None
    live: None = None
    pool: None = None
    call_times: None = None
    gives_own_connections = False

    def __init__(self, wire: Wire, dispatcher: StepDispatcher, limit: int) -> None:
        self.dispatcher = dispatcher
        self.timeouts = TimeoutQueues(dispatcher)
        cutter = MessageCutter(ParseLimits(limit), protocol=PROTOCOL)
        self.socket = Socket.of(wire.theirs, dispatcher, session=cutter)
        self._connection = RpcConnection(self.socket, self.timeouts, PROTOCOL)
        self.socket.set_user(self._connection)
        dispatcher.post(self.socket.begin_use)

    def endpoints(self) -> tuple[Endpoint]:
        return (self.endpoint,)

    def may_retry_elsewhere(self, call: BackedUpCall, error: RpcError) -> bool:
        return False

    def take_retry(self, error: RpcError) -> bool:
        return True

    def get(self, call: WaitingCall) -> RpcConnection:
        if not self._connection.is_usable():
            raise make_rpc_error(1009, "there is only one", peer="unix:")
        return self._connection

    def wait(self, call: WaitingCall) -> None:
        raise NotImplementedError

    def pause(self, call: WaitingCall, pause_s: float) -> None:
        raise NotImplementedError

    def reclaim(self, call: WaitingCall) -> None:
        raise NotImplementedError

    def connection_for_backup(self, call: BackedUpCall, used: Any) -> None:
        return None


class WatchedCall(Call):
    """Notes its responses and errors."""

    __slots__ = ("outcomes",)

    outcomes: list[Any]

    def on_done(self) -> None:
        self.outcomes.append(self.error or self.response)


def check(data: bytes) -> None:
    given = Parameters(data)
    limit, plan = given.one_of(LIMITS), given.number()
    stream = given.rest()
    rpc_connection._correlation_ids = itertools.count(1)
    dispatcher = StepDispatcher()
    with nothing_raised(dispatcher), Wire(dispatcher) as wire:
        source = OneConnection(wire, dispatcher, limit)
        calls = [_start(source) for _ in range(CALLS)]
        dispatcher.run_until_idle()
        for piece in pieces_of(stream, plan):
            wire.send(piece)
        wire.end()
    assert source.socket.error is not None
    asked = frames_of(bytes(wire.received), 1 << 30).messages
    assert [message["id"] for message in asked] == list(range(1, CALLS + 1))
    expected = _expected(stream, limit)
    for number, call in enumerate(calls, 1):
        (outcome,) = call.outcomes
        _check_outcome(outcome, expected.get(number))


def _start(source: OneConnection) -> WatchedCall:
    call = WatchedCall()
    call.set_up(
        source, ECHO, pb.EchoRequest(message="x"), None, CallOptions(max_retry=0), Controller()
    )
    call.outcomes = []
    call.start()
    return call


def _check_outcome(outcome: Any, expected: Fields | None) -> None:
    """Without an answer it is the error with which the connection ended."""
    if expected is None:
        assert isinstance(outcome, RpcError)
        assert outcome.text
    elif expected["kind"] != "response":
        assert isinstance(outcome, BadResponseError)
    elif expected["error"][0]:
        assert isinstance(outcome, RpcError)
        assert outcome.code == expected["error"][0]
    else:
        assert isinstance(outcome, RpcResponse)
        assert fields_of_message(outcome) == expected


def _expected(stream: bytes, limit: int) -> dict[int, Fields]:
    """The responses that come before the connection has to be closed, by correlation id."""
    told: dict[int, Fields] = {}
    for message in without_streams(frames_of(stream, limit, is_decided=True).messages):
        if message["kind"] == "request" or message.get("asks"):
            break
        told.setdefault(message["id"], message)
    return told


def seeds() -> Iterator[bytes]:
    answers = [
        header(encode_response_meta(response, 0), b"\x0a\x02hi")
        for response in (RpcResponse(1), RpcResponse(2, user_fields={"a": "b"}), RpcResponse(3))
    ]
    failed = header(encode_response_meta(RpcResponse(2, 2001, "no"), 0), b"")
    leaving = header(encode_response_meta(RpcResponse(1, 2003, "bye"), 0), b"")
    yield bytes([0, WHOLE]) + b"".join(answers)
    yield bytes([0, 5]) + b"".join(reversed(answers))
    yield bytes([1, 6]) + failed + leaving + answers[0]
    asking = header(encode_request_meta(RpcRequest(2, "S", "M"), 0), b"")
    yield bytes([0, 8]) + answers[0] + asking + answers[2]
    yield bytes([2, 7]) + header(encode_response_meta(RpcResponse(1), 9), bytes(80))
    for plan, stream in enumerate(vectors.recorded("server")):
        yield bytes([0, plan]) + answers[0] + stream


TARGET = FuzzTarget(
    check,
    seeds,
    dictionary=(b"PRPC", b"\x20\x01", b"\x20\x02", b"\x20\x03", b"\x12\x03\x08\xd1\x0f"),
    max_bytes=1500,
)
